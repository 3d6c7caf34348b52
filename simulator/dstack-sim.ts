/**
 * dstack-sim: stands in for everything around a guest that needs hardware or a host. For development only: whoever trusts
 * its root certificate trusts everybody. Nothing in the product imports this folder.
 */
import { writeFile } from 'node:fs/promises';
import { Command, CommanderError, Option } from 'commander';
import { fromHex } from '../src/codec/hex.ts';
import { HELP_OPTION, VERSION_OPTION } from '../src/commands/help.ts';
import { DstackError } from '../src/errors.ts';
import * as ui from '../src/ui.ts';
import { VERSION_TEXT } from '../src/version.ts';
import { defineGateway } from './gateway/command.ts';
import { defineHostApi } from './host-api.ts';
import { defineKms } from './kms/command.ts';
import { DEVELOPMENT_SEED } from './mock-keys.ts';
import { defineQuote } from './quote-command.ts';

const seedOf = (text: string): Uint8Array => fromHex(text, { field: '--seed', prefix: true, length: 32 });

const SEED = ['--seed <hex>', '32 bytes from which all keys are made', DEVELOPMENT_SEED] as const;

/** `HOST:PORT`. @throws INPUT_INVALID */
function listenAddress(text: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== '' && Number(port) <= 65_535) return { host, port: Number(port) };
  throw new DstackError('INPUT_INVALID', `--listen ${text} is not HOST:PORT`, { field: '--listen', value: text });
}

/** Writes a result to a file, or to stdout without one. */
async function deliver(text: string, file: string | undefined): Promise<void> {
  if (file === undefined) await ui.output(text);
  else await writeFile(file, text);
}

function declare(): Command {
  const program = new Command('dstack-sim')
    .description('simulates what surrounds a confidential VM: for development only, it protects nothing')
    .version(VERSION_TEXT, ...VERSION_OPTION)
    .helpOption(...HELP_OPTION)
    .helpCommand(false)
    .configureOutput({ writeErr: () => {} })
    .exitOverride();

  program
    .command('qe')
    .description('play the quoting enclave beside the simulated TDX device of a dev image')
    .option(...SEED)
    .option('--ccel <file>', 'boot event log to provide instead of the synthetic one')
    .option('--share', 'take MRTD and boot event log from the host share, where the host has put any')
    .option('--tables-dir <dir>', 'where the log goes', '/sys/firmware/acpi/tables/data')
    .action(async (options: { seed: string; ccel?: string; share?: boolean; tablesDir: string }) => {
      const { runEnclave } = await import('./quoting-enclave.ts');
      // a read of the device blocks a thread of the pool: only the end of the process ends it
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0));
      await runEnclave({
        seed: seedOf(options.seed),
        tablesDir: options.tablesDir,
        ...(options.ccel === undefined ? {} : { ccelFile: options.ccel }),
        share: options.share === true,
      });
    });

  program
    .command('qgs')
    .description('play the quote generation service of the host on a vsock port')
    .option(...SEED)
    .option('--port <port>', 'vsock port', (text) => Number(text), 4050)
    .action(async (options: { seed: string; port: number }) => {
      if (!Number.isInteger(options.port) || options.port < 1 || options.port > 0xfffffffe) {
        throw new DstackError('USAGE', '--port is not a vsock port', { field: '--port', value: options.port });
      }
      const { runQuoteService } = await import('./quote-service.ts');
      await runQuoteService({ seed: seedOf(options.seed), port: options.port });
    });

  program
    .command('collateral')
    .description('print DCAP collateral for the quotes of this seed as JSON, or serve it like a PCCS')
    .option(...SEED)
    .option('--serve', 'answer HTTP requests until the process is ended; prints the base URL')
    .option('--listen <address>', 'HOST:PORT of the service, port 0 for any', '127.0.0.1:8088')
    .option('--out <file>', 'write to a file instead of stdout')
    .action(async (options: { seed: string; serve?: boolean; listen: string; out?: string }) => {
      const { mockPki } = await import('./pki.ts');
      const pki = mockPki(seedOf(options.seed));
      if (options.serve) {
        const { serveCollateral } = await import('./collateral-service.ts');
        const { host, port } = listenAddress(options.listen);
        const service = await serveCollateral(pki, port, host);
        await deliver(`${service.url}\n`, options.out);
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void service.close());
        return;
      }
      const { mockCollateral } = await import('./mock-collateral.ts');
      await deliver(`${JSON.stringify(mockCollateral(pki), null, 2)}\n`, options.out);
    });

  program
    .command('pki')
    .description('show or write the PKI of this seed: certificates, revocation lists, document for a guest simulator')
    .option(...SEED)
    .option('--out <dir>', 'folder for the files; without it only fingerprints are printed')
    .option('--collateral-base-url <url>', 'where the guest finds its collateral', 'http://127.0.0.1:8088')
    .option('--json', 'print fingerprints as JSON')
    .action(async (options: { seed: string; out?: string; collateralBaseUrl: string; json?: boolean }) => {
      const { mockPki } = await import('./pki.ts');
      const { fingerprints, writePki } = await import('./pki-files.ts');
      const seed = seedOf(options.seed);
      const found = fingerprints(mockPki(seed));
      if (options.out !== undefined) {
        const names = await writePki(seed, options.out, options.collateralBaseUrl);
        ui.info(`wrote ${names.join(', ')} to ${options.out}`);
      }
      const lines = Object.entries(found).map(([name, sha256]) => `${name.padEnd(15)} ${sha256}`);
      ui.result({ sha256: found }, { json: options.json, text: () => lines.join('\n') });
    });

  defineQuote(program.command('quote'), SEED);

  program
    .command('root-ca')
    .description('print the root certificate of this seed in PEM')
    .option(...SEED)
    .option('--out <file>', 'write to a file instead of stdout')
    .action(async (options: { seed: string; out?: string }) => {
      const { mockPki, pemChain } = await import('./pki.ts');
      await deliver(pemChain(mockPki(seedOf(options.seed)).root), options.out);
    });

  program
    .command('attestation')
    .description('write the files of a guest that exists on paper only, for the guest agent to answer from')
    .option(...SEED)
    .requiredOption('--out <dir>', 'folder for the files')
    .option('--app-compose <file>', 'compose document to measure instead of a small sample')
    .addOption(
      new Option('--event-version <version>', 'digest form of the runtime events').choices(['1', '2']).default('1'),
    )
    .action(async (options: { seed: string; out: string; appCompose?: string; eventVersion: '1' | '2' }) => {
      const { writeCannedGuest } = await import('./canned-guest.ts');
      const names = await writeCannedGuest({
        seed: seedOf(options.seed),
        dir: options.out,
        eventVersion: options.eventVersion === '2' ? 2 : 1,
        ...(options.appCompose === undefined ? {} : { composeFile: options.appCompose }),
      });
      ui.info(`wrote ${names.join(', ')} to ${options.out}`);
      ui.info(`start the agent there: cd ${options.out} && dstack-util serve`);
    });

  defineHostApi(program.command('host-api').alias('host'));
  defineGateway(program.command('gateway'));
  defineKms(program.command('kms'));
  return program;
}

try {
  await ui.loadColours();
  await declare().parseAsync();
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) process.exitCode = ui.reportFailure(thrown);
  else if (thrown.exitCode !== 0) {
    const text = thrown.code === 'commander.help' ? 'a subcommand is missing' : thrown.message.replace(/^error: /, '');
    process.exitCode = ui.reportFailure(new DstackError('USAGE', text));
  }
}
