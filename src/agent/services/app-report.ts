/** Info: who this app is, as evidence shows it (dstack guest agent services, Info). */
import { readFile } from 'node:fs/promises';
import { toHex } from '../../codec/hex.ts';
import { perObject } from '../../codec/per-object.ts';
import type { Message } from '../../codec/prpc-messages.ts';
import { type AppInfo, decodeAppInfo } from '../../tdx/app-identity.ts';
import { type Attestation, tdxEventLog, tdxQuote } from '../../tdx/attestation.ts';
import { type EventJson, fullLogJson } from '../../tdx/log-json.ts';
import { parseQuote } from '../../tdx/quote-layout.ts';
import { Recent } from '../figures/recent.ts';
import type { AgentState } from '../state.ts';

/** The parts of Info before they become a message. */
export interface ReportedIdentity {
  readonly app: AppInfo;
  /** hex */
  readonly mrtd: string;
  /** hex, four of them */
  readonly rtmrs: readonly string[];
  readonly eventLog: readonly EventJson[];
}

/** Takes fresh evidence and reads the identity out of it. @throws QUOTE_*, ATTESTATION_INVALID */
export async function readIdentity(state: AgentState): Promise<ReportedIdentity> {
  return reported(await state.backend.identity());
}

/** Evidence that is the same object as before says the same; every event makes another one. */
const reported = perObject((attestation: Attestation): ReportedIdentity => {
  const { body } = parseQuote(tdxQuote(attestation));
  return {
    app: decodeAppInfo(attestation),
    mrtd: toHex(body.mrtd),
    rtmrs: body.rtmrs.map(toHex),
    eventLog: fullLogJson(tdxEventLog(attestation)),
  };
});

const recent = new WeakMap<AgentState, Recent<ReportedIdentity>>();

/** The identity for callers from outside, at most seconds old. The app itself always gets fresh evidence. */
export function publicIdentity(state: AgentState): Promise<ReportedIdentity> {
  const answers = recent.get(state) ?? new Recent<ReportedIdentity>();
  recent.set(state, answers);
  return answers.get('identity', () => readIdentity(state));
}

/** `tcb_info`: pretty JSON inside a string. */
const tcbInfo = (state: AgentState, identity: ReportedIdentity): string => tcbInfos(state)(identity);

const tcbInfos = perObject(({ compose }: AgentState) =>
  perObject((identity: ReportedIdentity) => formatTcbInfo(identity, compose.text)),
);

function formatTcbInfo({ app, mrtd, rtmrs, eventLog }: ReportedIdentity, appCompose: string): string {
  const [rtmr0, rtmr1, rtmr2, rtmr3] = rtmrs;
  const info = {
    mrtd,
    rtmr0,
    rtmr1,
    rtmr2,
    rtmr3,
    mr_aggregated: toHex(app.mrAggregated),
    os_image_hash: toHex(app.osImageHash),
    compose_hash: toHex(app.composeHash),
    device_id: toHex(app.deviceId),
    event_log: eventLog,
    app_compose: appCompose,
  };
  return JSON.stringify(info, null, 2);
}

/**
 * The Info answer.
 * @param audience `app`: the app itself sees everything; `public`: without `public_tcbinfo` the TCB and the VM are hidden
 */
export async function appInfo(state: AgentState, audience: 'app' | 'public'): Promise<Message<'AppInfo'>> {
  const identity = await (audience === 'app' ? readIdentity(state) : publicIdentity(state));
  const { app } = identity;
  const open = audience === 'app' || state.compose.publicTcbinfo;
  return {
    app_id: app.appId,
    instance_id: app.instanceId,
    app_cert: state.demo.get(),
    tcb_info: open ? tcbInfo(state, identity) : '',
    app_name: state.compose.name,
    device_id: app.deviceId,
    mr_aggregated: app.mrAggregated,
    os_image_hash: app.osImageHash,
    key_provider_info: Buffer.from(app.keyProviderInfo).toString('utf8'),
    compose_hash: app.composeHash,
    vm_config: open ? state.vmConfig : '',
    cloud_vendor: await dmi('sys_vendor'),
    cloud_product: await dmi('product_name'),
  };
}

/**
 * The Info answer of the guest API v1: identity and configuration, no registers.
 * @param audience `public`: without `public_tcbinfo` the documents are hidden, and the key provider too
 */
export async function appInfoV1(state: AgentState, audience: 'app' | 'public'): Promise<Message<'InfoV1Response'>> {
  const { app } = await (audience === 'app' ? readIdentity(state) : publicIdentity(state));
  const open = audience === 'app' || state.compose.publicTcbinfo;
  return {
    app_id: app.appId,
    app_name: state.compose.name,
    compose_hash: app.composeHash,
    app_compose: open ? state.compose.text : '',
    instance_id: app.instanceId,
    device_id: app.deviceId,
    os_image_hash: app.osImageHash,
    mr_aggregated: app.mrAggregated,
    vm_config: open ? state.vmConfig : '',
    key_provider_info: open ? Buffer.from(app.keyProviderInfo).toString('utf8') : '',
    cloud_vendor: await dmi('sys_vendor'),
    cloud_product: await dmi('product_name'),
  };
}

const dmiTexts = new Map<string, Promise<string>>();

/**
 * An identification text of the (virtual) machine; it comes from the host and proves nothing. The kernel reads it before
 * it starts the first program and never again, and so it is read once, or found missing once.
 */
export function dmi(name: 'sys_vendor' | 'product_name'): Promise<string> {
  let text = dmiTexts.get(name);
  if (text === undefined) {
    text = readFile(`/sys/class/dmi/id/${name}`, 'utf8').then(
      (read) => read.trim(),
      () => '',
    );
    dmiTexts.set(name, text);
  }
  return text;
}
