#!/usr/bin/env bash
# Builds the packages: `packaging/build.sh deb`, `packaging/build.sh rpm`, or both, into target/packages.
# PROFILE=dev builds them around the program of `cargo build`, for tests. Needs cargo-deb and
# cargo-generate-rpm: `cargo install --locked cargo-deb cargo-generate-rpm`.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(deb rpm)
target=${CARGO_TARGET_DIR:-target}
folder=$profile
[ "$profile" = dev ] && folder=debug
cargo build --locked --profile "$profile"

# What is packed lies under one name, wherever it was built.
parts=target/packages/parts
rm -rf "$parts"
mkdir -p "$parts/man" target/packages
install -m 755 "$target/$folder/nxs-backup" "$parts/nxs-backup"
strip "$parts/nxs-backup"
"$parts/nxs-backup" man --to "$parts/man"
gzip -9n "$parts"/man/*
for shell in bash zsh fish; do "$parts/nxs-backup" completions "$shell" >"$parts/completion.$shell"; done
{
    printf 'nxs-backup (%s) unstable; urgency=medium\n\n' "$("$parts/nxs-backup" --version | cut -d' ' -f2)"
    printf '  * See changelog.gz.\n\n'
    printf ' -- The authors of nxs-backup <nxs-backup@users.noreply.github.com>  %s\n' "$(LC_ALL=C date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")"
} | gzip -9n >"$parts/changelog.Debian.gz"
gzip -9nc CHANGELOG.md >"$parts/changelog.gz"

for kind in "${kinds[@]}"; do
    case $kind in
    deb) cargo deb --no-build --no-strip --locked --output target/packages/ ;;
    rpm) cargo generate-rpm --output target/packages/ ;;
    *)
        echo "packaging/build.sh: unknown kind of package: $kind (deb, rpm)" >&2
        exit 2
        ;;
    esac
done
