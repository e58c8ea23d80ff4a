#!/usr/bin/env bash
# The Debian package: without errors for lintian; installed, used, upgraded over a changed config,
# removed and purged in a bare Debian. Argument: the package.
set -euo pipefail
deb=$(realpath "$1")
cd "$(dirname "$0")"
. ./lib.sh

lintian --allow-root --fail-on error --tag-display-limit 0 "$deb" || fail "lintian has errors"

new_root
cp "$deb" "$root/tmp/nxs-backup.deb"
in_root apt-get -qq update
in_root apt-get -qq install -y --no-install-recommends /tmp/nxs-backup.deb >/dev/null || fail "it cannot be installed"
[ "$(mode /etc/nxs-backup/nxs-backup.conf)" = 600 ] || fail "the main config is readable for others"
[ "$(mode /etc/nxs-backup/conf.d)" = 750 ] || fail "conf.d has mode $(mode /etc/nxs-backup/conf.d)"
for file in /lib/systemd/system/nxs-backup.timer /usr/share/man/man1/nxs-backup-restore.1.gz \
    /usr/share/bash-completion/completions/nxs-backup /etc/logrotate.d/nxs-backup; do
    [ -e "$root$file" ] || [ -e "$root/usr$file" ] || fail "$file is missing"
done
# The program needs nothing but what the package names, and few libraries.
in_root ldd /usr/bin/nxs-backup | has 'not found' && fail "a library is missing"
libraries=$(in_root ldd /usr/bin/nxs-backup | sed 's/^[[:space:]]*//; s/[ .].*//; s|.*/||' | sort | tr '\n' ' ')
[ "$libraries" = "ld-linux-x86-64 libc libgcc_s libm libz linux-vdso " ] || fail "it needs other libraries: $libraries"
# systemd, cron and logrotate understand what they are given.
units=$(mktemp -d "$root/tmp/units-XXXXXX")
find "$root/lib/systemd/system/" "$root/usr/lib/systemd/system/" -name 'nxs-backup.*' -exec cp {} "$units" \;
sed -i "s|/usr/bin/nxs-backup|$root/usr/bin/nxs-backup|" "$units/nxs-backup.service"
systemd-analyze verify --man=no --recursive-errors=no "$units"/nxs-backup.{service,timer} 2>&1 | has . && fail "systemd does not like the units"
logrotate --debug "$root/etc/logrotate.d/nxs-backup" 2>&1 | has '^error' && fail "logrotate does not like its file"
schedule='^[0-9*]+ [0-9*]+ \* \* \* root /usr/bin/nxs-backup start all$'
has -E "$schedule" "$root/usr/share/doc/nxs-backup/examples/cron" || fail "the example for cron has no line for it"
# As it comes it backs up nothing, and says so.
in_root nxs-backup check >/dev/null && fail "an empty config passes"
first_backup

# A newer version with another config of its own: what was changed here stays, the new one lies beside.
dpkg-deb --raw-extract "$deb" "$root/tmp/newer"
sed -i 's/^Version: .*/Version: 99.0/' "$root/tmp/newer/DEBIAN/control"
echo '# new in this version' >>"$root/tmp/newer/etc/nxs-backup/nxs-backup.conf"
dpkg-deb --root-owner-group --build "$root/tmp/newer" "$root/tmp/newer.deb" >/dev/null
in_root apt-get -qq install -y -o Dpkg::Options::=--force-confold /tmp/newer.deb >/dev/null || fail "it cannot be upgraded"
in_root dpkg-query -W -f '${Version}' nxs-backup | has -x 99.0 || fail "the upgrade is another version"
grep -q 'server_name: web1' "$root/etc/nxs-backup/nxs-backup.conf" || fail "the upgrade took the config"
grep -q 'new in this version' "$root/etc/nxs-backup/nxs-backup.conf.dpkg-dist" || fail "the new config is not at hand"
[ "$(mode /etc/nxs-backup/nxs-backup.conf)" = 600 ] || fail "the upgrade opened the config"
in_root nxs-backup check >/dev/null || fail "what lies beside the config is taken for a part of it"
in_root nxs-backup list | has /usr/share/doc/nxs-backup || fail "the upgrade lost the state"

in_root dpkg -r nxs-backup >/dev/null
[ -e "$root/etc/nxs-backup/nxs-backup.conf" ] || fail "the removal took the config"
[ ! -e "$root/usr/bin/nxs-backup" ] || fail "the removal left the program"
in_root dpkg -P nxs-backup >/dev/null
[ ! -e "$root/etc/nxs-backup/nxs-backup.conf" ] || fail "the purge left the config"
[ ! -e "$root/var/lib/nxs-backup" ] || fail "the purge left the state"
[ -e "$root/etc/nxs-backup/conf.d/docs.conf" ] || fail "the purge took a job of the administrator"
[ -n "$(ls "$root/var/nxs-backup")" ] || fail "the purge took backups"
echo "deb: installed, used, upgraded, removed, purged"
