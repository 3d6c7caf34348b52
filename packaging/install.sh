#!/bin/sh
# Puts dstack-util, its units, manual pages and completions into the root of an image (or of this machine).
#
#   ./install.sh --root DIR [--no-preset] [--dry-run]
#
# Everything is checked against SHA256SUMS before the first file is copied. Running it again replaces the files.
set -eu

usage() {
  echo 'usage: ./install.sh --root DIR [--no-preset] [--dry-run]' >&2
  echo '  --root DIR    root folder of the image; / is this machine' >&2
  echo '  --no-preset   do not enable the units (else: systemctl --root=DIR preset, if systemctl is there)' >&2
  echo '  --dry-run     say what would be installed and change nothing' >&2
  exit 2
}

root='' preset=yes dry=no
while [ $# -gt 0 ]; do
  case $1 in
    --root) [ $# -ge 2 ] || usage; root=$2; shift 2 ;;
    --root=*) root=${1#--root=}; shift ;;
    --no-preset) preset=no; shift ;;
    --dry-run) dry=yes; shift ;;
    -h | --help) usage ;;
    *) echo "error: unknown option '$1'" >&2; usage ;;
  esac
done
[ -n "$root" ] || usage
[ -d "$root" ] || { echo "error: $root is not a folder" >&2; exit 2; }
root=$(cd "$root" && pwd)

here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
sha256sum --check --quiet --strict SHA256SUMS || { echo 'error: the archive is damaged, nothing was installed' >&2; exit 1; }

# Only what the list of checksums names is installed: a stray file beside it is not.
cut -c67- SHA256SUMS | grep '^tree/' | while IFS= read -r path; do
  target=$root/${path#tree/}
  [ "$root" = / ] && target=/${path#tree/}
  if [ "$dry" = yes ]; then echo "$target"; continue; fi
  mode=0644
  [ -x "$path" ] && mode=0755
  mkdir -p -m 0755 "$(dirname "$target")"
  # beside the old file and then over it: a running program keeps its own
  install -m "$mode" "$path" "$target.new"
  mv -f "$target.new" "$target"
done
if [ "$dry" = yes ]; then echo "$root/usr/bin/dstack-guest-agent -> dstack-util"; exit 0; fi
ln -sfn dstack-util "$root/usr/bin/dstack-guest-agent"

if [ "$preset" = yes ]; then
  if command -v systemctl >/dev/null; then
    sed -n 's/^enable //p' tree/usr/lib/systemd/system-preset/10-dstack.preset |
      xargs systemctl "--root=$root" preset
  else
    echo 'note: no systemctl here, the units are enabled by the preset on the first start' >&2
  fi
fi
echo "installed dstack-util $(cat VERSION) below $root"
