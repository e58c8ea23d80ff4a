#!/usr/bin/env bash
# The RPM package: installed, used, and erased by rpm in a root of its own. No distribution of that
# family is at hand: its scripts run in a bare Debian that has rpm. Argument: the package.
set -euo pipefail
rpm=$(realpath "$1")
cd "$(dirname "$0")"
. ./lib.sh

rpm -qp --requires "$rpm" | has 'libc.so.6' || fail "it does not name its libraries"
rpm -qpl "$rpm" | has -x /usr/bin/nxs-backup || fail "the program is not in it"
rpm -qp --configfiles "$rpm" | has -x /etc/nxs-backup/nxs-backup.conf || fail "the config is no config file"

new_root
cp "$rpm" "$root/tmp/nxs-backup.rpm"
in_root apt-get -qq update
in_root apt-get -qq install -y --no-install-recommends rpm >/dev/null
# Debian's packages are not in the database of rpm.
in_root rpm --force-debian --nodeps -i /tmp/nxs-backup.rpm || fail "it cannot be installed"
[ "$(mode /etc/nxs-backup/nxs-backup.conf)" = 600 ] || fail "the main config is readable for others"
[ "$(mode /etc/nxs-backup/conf.d)" = 750 ] || fail "conf.d has mode $(mode /etc/nxs-backup/conf.d)"
first_backup
in_root rpm --force-debian -e nxs-backup || fail "it cannot be erased"
[ ! -e "$root/usr/bin/nxs-backup" ] || fail "the program is still there"
grep -q 'server_name: web1' "$root"/etc/nxs-backup/nxs-backup.conf* || fail "the changed config is gone"
[ -n "$(ls "$root/var/nxs-backup")" ] || fail "backups are gone"
echo "rpm: installed, used, erased"
