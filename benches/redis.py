#!/usr/bin/env python3
"""Backs up one Redis of about 1 GiB, in turn with `redis-cli --rdb` followed by zstd.

Both get the same server and write to the same disk; the peer writes a dump and then compresses it, as
its manual has it, on both cores and at the level that we use. What we stored is unpacked and compared
with `redis-check-rdb`. Standard library only.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import Failed, in_turn, machine, remove, run, say, shell  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 2**20
WALL, PEAK = 0.9, 64 * MIB


def serve(folder, port):
    """A server without dumps of its own accord, that begins a copy at once."""
    log = open(os.path.join(folder, "redis.log"), "wb")  # noqa: SIM115
    child = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder,
         "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"],
        stdout=log, stderr=log)
    for _ in range(100):
        if cli(port, "ping").strip() == "PONG":
            return child
        time.sleep(0.1)
    raise Failed(f"redis-server did not start: see {folder}/redis.log")


def cli(port, *words):
    done = subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, check=False)
    return done.stdout


def fill(port, mib):
    """Values of 1,000 bytes: half of each is noise in hex, half compresses well."""
    script = """
        math.randomseed(tonumber(ARGV[1]))
        for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
            local noise = {}
            for part = 1, 64 do noise[part] = string.format('%08x', math.random(0, 2147483647)) end
            redis.call('SET', 'key:' .. n, table.concat(noise) .. string.rep('value of ' .. n .. ' ', 30))
        end"""
    step = 5_000
    for first in range(0, mib * 1_000, step):
        said = cli(port, "eval", script, "0", str(first), str(first + step - 1))
        if "ERR" in said:
            raise Failed(said)


def config(folder, port):
    path = os.path.join(folder, "nxs-backup.conf")
    job = {
        "job": "redis", "type": "redis", "compress": "zstd", "tmp_dir": folder,
        "sources": [{"connect": {"db_host": "127.0.0.1", "db_port": port}}],
        "storages": [{"storage": "local", "backup_dir": f"{folder}/store", "store": {"days": 5}}],
    }
    main = {"server_name": "bench", "state_dir": f"{folder}/state"}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"main": main, "jobs": [job]}, file)
    os.chmod(path, 0o600)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(TOP, "target/release/nxs-backup"))
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=19_379)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nxs-bench-redis-", dir="/var/tmp") as folder:
        server = serve(folder, args.port)
        try:
            return measure(args, folder)
        finally:
            server.terminate()
            server.wait()


def measure(args, folder):
    say(f"filling {args.mib} MiB")
    fill(args.port, args.mib)
    path, store, dump = config(folder, args.port), os.path.join(folder, "store"), os.path.join(folder, "dump.rdb")
    level = 3
    peer = shell(f"redis-cli -p {args.port} --rdb {dump} && zstd -q -T2 -{level} -f {dump} -o {dump}.zst")
    ours = [args.binary, "-c", path, "start", "redis"]
    runs = in_turn({
        "ours": (lambda: remove(store), ours, None),
        "peer": (lambda: [remove(dump), remove(dump + ".zst")], peer, None),
    }, args.rounds)
    [stored] = glob.glob(f"{store}/**/*.rdb.zst", recursive=True)
    back = os.path.join(folder, "back.rdb")
    run(shell(f"zstd -qdf {stored} -o {back} && redis-check-rdb {back} >/dev/null"))
    one, other = runs["ours"], runs["peer"]
    ratio = one.wall / other.wall
    print("\n".join(machine(folder, args.binary)))
    print(f"raw {os.path.getsize(back) / MIB:.0f} MiB, stored {os.path.getsize(stored) / MIB:.0f} MiB, "
          f"the peer's {os.path.getsize(dump + '.zst') / MIB:.0f} MiB, median of {args.rounds} rounds in turn")
    missed = False
    for name, figure, limit, words in (
            ("wall time", ratio, WALL, f"{one.wall:.2f} s against {other.wall:.2f} s"),
            ("peak memory", one.peak / MIB, PEAK / MIB, f"{one.peak / MIB:.0f} MiB")):
        held = figure <= limit
        missed |= not held
        print(f"| `redis` against `redis-cli --rdb`, zstd | {name} | {figure:.2f} | <= {limit:g}, {'held' if held else '**missed**'} | {words} |")
    return 3 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        say(failure)
        sys.exit(1)
