#!/bin/sh
# Puts dstack-util, its units, manual pages and completions into the root of an image (or of this machine), or takes them
# out again.
#
#   ./install.sh --root DIR [--no-preset] [--dry-run]
#   ./install.sh --root DIR --uninstall [--dry-run]
#
# Everything is checked against SHA256SUMS before the first file is copied. Running it again replaces the files; a list of
# them stays in the root, so that a later version removes what it no longer has.
set -eu

help() {
  echo 'usage: ./install.sh --root DIR [--no-preset] [--dry-run]'
  echo '       ./install.sh --root DIR --uninstall [--dry-run]'
  echo '  --root DIR    root folder of the image; / is this machine'
  echo '  --no-preset   do not enable the units (else: systemctl --root=DIR preset, if systemctl is there)'
  echo '  --uninstall   remove what was installed, and the links that enable its units; data and settings stay'
  echo '  --dry-run     say what would be installed or removed and change nothing'
  echo '  --help        print this'
}
wrong() { echo "error: $1" >&2; help >&2; exit 2; }

root='' preset=yes dry=no action=install
while [ $# -gt 0 ]; do
  case $1 in
    --root) [ $# -ge 2 ] || wrong '--root wants a folder'; root=$2; shift 2 ;;
    --root=*) root=${1#--root=}; shift ;;
    --no-preset) preset=no; shift ;;
    --uninstall) action=uninstall; shift ;;
    --dry-run) dry=yes; shift ;;
    -h | --help) help; exit 0 ;;
    *) wrong "unknown option '$1'" ;;
  esac
done
[ -n "$root" ] || wrong '--root is missing'
[ -d "$root" ] || { echo "error: $root is not a folder" >&2; exit 2; }
root=$(cd "$root" && pwd)
[ "$root" != / ] || root=''

cd "$(dirname "$0")"
list=usr/share/dstack-util/installed-files
units=usr/lib/systemd/system-preset/10-dstack.preset

if [ -e "$root/var/lib/dpkg/info/dstack-util.list" ]; then
  echo "error: dstack-util is installed below ${root:-/} as a Debian package" >&2
  echo '  hint: replace or remove it with dpkg or apt; nothing was changed' >&2
  exit 1
fi

# What this archive installs, relative to the root, one path a line. Only what the list of checksums names: a stray file
# beside it is not installed.
ours() {
  cut -c67- SHA256SUMS | sed -n 's,^tree/,,p'
  echo usr/bin/dstack-guest-agent
}
# What an earlier run installed. A line that leads out of usr/ is not one of ours.
theirs() { if [ -f "$root/$list" ]; then grep '^usr/' "$root/$list" | grep -v '\.\.' || :; fi; }

# Removes the files that are named on stdin, and the folders that are empty then.
remove() {
  while IFS= read -r path; do
    [ -e "$root/$path" ] || [ -L "$root/$path" ] || continue
    if [ "$dry" = yes ]; then echo "remove $root/$path"; continue; fi
    rm -f "$root/$path"
    folder=${path%/*}
    while [ "$folder" != "${folder%/*}" ] && rmdir "$root/$folder" 2>/dev/null; do folder=${folder%/*}; done
  done
}

if [ "$action" = uninstall ]; then
  if [ "$dry" = no ] && [ -f "$root/$units" ] && command -v systemctl >/dev/null; then
    sed -n 's/^enable //p' "$root/$units" | xargs systemctl --quiet "--root=${root:-/}" disable || :
  fi
  # a version that left no list: what this archive would install
  if [ -f "$root/$list" ]; then theirs; else ours; fi | remove
  echo "$list" | remove
  [ "$dry" = yes ] || echo "removed dstack-util from ${root:-/}"
  exit 0
fi

sha256sum --check --quiet --strict SHA256SUMS || { echo 'error: the archive is damaged, nothing was installed' >&2; exit 1; }

if [ "$dry" = yes ]; then
  ours | while IFS= read -r path; do echo "$root/$path"; done
else
  ours | while IFS= read -r path; do
    target=$root/$path
    mkdir -p -m 0755 "$(dirname "$target")"
    # beside the old file and then over it: a running program keeps its own
    if [ "$path" = usr/bin/dstack-guest-agent ]; then ln -sfn dstack-util "$target"; continue; fi
    mode=0644
    [ -x "tree/$path" ] && mode=0755
    install -m "$mode" "tree/$path" "$target.new"
    mv -f "$target.new" "$target"
  done
fi

# what an earlier version had and this one has not
theirs | { grep -vxF -e "$(ours)" || :; } | remove
[ "$dry" = no ] || exit 0
mkdir -p -m 0755 "$root/${list%/*}"
ours >"$root/$list.new"
chmod 0644 "$root/$list.new"
mv -f "$root/$list.new" "$root/$list"

if [ "$preset" = yes ]; then
  if command -v systemctl >/dev/null; then
    sed -n 's/^enable //p' "tree/$units" | xargs systemctl "--root=${root:-/}" preset
  else
    echo 'note: no systemctl here, the units are enabled by the preset on the first start' >&2
  fi
fi
echo "installed dstack-util $(cat VERSION) below ${root:-/}"
