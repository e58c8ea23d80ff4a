#!/usr/bin/env bash
# Builds the packages around the program of the dev profile and lets each live its life: installed,
# used, upgraded, removed. As root or by sudo. Arguments: which ones (deb, rpm, image); all without.
set -euo pipefail
cd "$(dirname "$0")/../.."
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(deb rpm image)

tests/setup.sh
PROFILE=dev packaging/build.sh deb rpm
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n --preserve-env=HOME,XDG_CACHE_HOME)
for kind in "${kinds[@]}"; do
    case $kind in
    deb) "${as_root[@]}" tests/packages/deb.sh "$(ls -t target/packages/*.deb | head -1)" ;;
    rpm) "${as_root[@]}" tests/packages/rpm.sh "$(ls -t target/packages/*.rpm | head -1)" ;;
    image) "${as_root[@]}" tests/packages/image.sh target/packages/parts/nxs-backup ;;
    esac
done
