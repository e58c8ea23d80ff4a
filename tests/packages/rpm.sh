#!/usr/bin/env bash
# The RPM package: installed, used, upgraded and erased by rpm in a root of its own. No distribution
# of that family is at hand: its scripts run in a bare Debian that has rpm, and a program that
# writes down what it is asked stands for systemctl. Argument: the package.
set -euo pipefail
rpm=$(realpath "$1")
cd "$(dirname "$0")"
. ./lib.sh

rpm -qp --requires "$rpm" | has 'libc.so.6' || fail "it does not name its libraries"
rpm -qpl "$rpm" | has -x /usr/bin/nxs-backup || fail "the program is not in it"
rpm -qp --configfiles "$rpm" | has -x /etc/nxs-backup/nxs-backup.conf || fail "the config is no config file"

# newer: builds the same package as version 99.0 and prints its path.
newer() {
    local top=$root/tmp/newer script
    mkdir -p "$top/files"
    rpm2archive - <"$rpm" | tar -xz -C "$top/files" || return 1
    {
        printf '%s\n' 'Name: nxs-backup' 'Version: 99.0' 'Release: 1' 'Summary: newer' 'License: Apache-2.0' \
            'AutoReqProv: no' '%description' 'Newer.' '%install' "cp -a $top/files/. %{buildroot}"
        for script in post:POSTIN preun:PREUN postun:POSTUN; do
            printf '%%%s\n%s\n' "${script%:*}" "$(rpm -qp --qf "%{${script#*:}}" "$rpm")"
        done
        echo '%files'
        rpm -qp --qf '[%{FILEMODES:octal} %{FILENAMES}\n]' "$rpm" | while read -r mode name; do
            printf '%%attr(%s, root, root) %s\n' "${mode: -4}" "$name"
        done | sed 's|^.* /etc/|%config(noreplace) &|'
    } >"$top/newer.spec"
    rpmbuild --quiet -bb --target "$(rpm -qp --qf '%{ARCH}' "$rpm")" --define "_topdir $top" \
        --define '__os_install_post %{nil}' "$top/newer.spec" >&2 || return 1
    find "$top/RPMS" -name '*.rpm'
}

new_root
cat >"$root/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >>/tmp/systemctl.log
END
chmod 755 "$root/usr/bin/systemctl"
cp "$rpm" "$root/tmp/nxs-backup.rpm"
in_root apt-get -qq update
in_root apt-get -qq install -y --no-install-recommends rpm >/dev/null
# Debian's packages are not in the database of rpm.
in_root rpm --force-debian --nodeps -i /tmp/nxs-backup.rpm || fail "it cannot be installed"
[ "$(mode /etc/nxs-backup/nxs-backup.conf)" = 600 ] || fail "the main config is readable for others"
[ "$(mode /etc/nxs-backup/conf.d)" = 750 ] || fail "conf.d has mode $(mode /etc/nxs-backup/conf.d)"
first_backup

# What the administrator chose stays, and so does the timer.
chmod 0700 "$root/etc/nxs-backup/conf.d"
chmod 0755 "$root/var/log/nxs-backup"
: >"$root/tmp/systemctl.log"
newer=$(newer) || fail "no newer package could be built"
cp "$newer" "$root/tmp/newer.rpm"
in_root rpm --force-debian --nodeps -U /tmp/newer.rpm || fail "it cannot be upgraded"
[ "$(in_root rpm --force-debian -q --qf '%{VERSION}\n' nxs-backup)" = 99.0 ] || fail "the upgrade is another version"
[ "$(mode /etc/nxs-backup/conf.d)" = 700 ] || fail "the upgrade made conf.d $(mode /etc/nxs-backup/conf.d)"
[ "$(mode /var/log/nxs-backup)" = 755 ] || fail "the upgrade made the folder of logs $(mode /var/log/nxs-backup)"
[ "$(mode /etc/nxs-backup/nxs-backup.conf)" = 600 ] || fail "the upgrade opened the config"
grep -q 'server_name: web1' "$root/etc/nxs-backup/nxs-backup.conf" || fail "the upgrade took the config"
has disable "$root/tmp/systemctl.log" && fail "the upgrade disables the timer"
in_root nxs-backup list | has /usr/share/doc/nxs-backup || fail "the upgrade lost the state"

in_root rpm --force-debian -e nxs-backup || fail "it cannot be erased"
has -x -- '--no-reload disable --now nxs-backup.timer' "$root/tmp/systemctl.log" || fail "the timer is still enabled"
[ ! -e "$root/usr/bin/nxs-backup" ] || fail "the program is still there"
grep -q 'server_name: web1' "$root"/etc/nxs-backup/nxs-backup.conf* || fail "the changed config is gone"
[ -n "$(ls "$root/var/nxs-backup")" ] || fail "backups are gone"
echo "rpm: installed, used, upgraded, erased"
