/** Who the guest says it is. What that is worth is said by the verdict. */
import { h, section } from './dom.ts';
import type { ReportJson } from './report.ts';

export function identityList({ identity, registers }: ReportJson): HTMLElement | undefined {
  if (identity === undefined && registers === undefined) return undefined;
  const provider = identity?.key_provider;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['app id', identity?.app_id],
    ['compose hash', identity?.compose_hash],
    ['instance id', identity?.instance_id],
    [
      'key provider',
      provider === undefined || provider === null ? undefined : `${provider.name} ${provider.id}`.trim(),
    ],
    ['OS image hash', identity?.os_image_hash],
    ['device id', identity?.device_id ?? undefined],
    ['MRTD', registers?.['mrtd']],
    ['report data', registers?.['report_data']],
  ];
  const known = rows.filter(([, value]) => value !== undefined && value !== '');
  return section(
    'identity-title',
    'Who it is',
    h('dl', {}, ...known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, h('code', {}, value))])),
  );
}
