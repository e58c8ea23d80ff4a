#!/usr/bin/env python3
"""Dumps a PostgreSQL database in turn with `pg_dump | zstd -T2 -3 > file`, on the server of the tests.

Ours stores the same dump with its digests and manifest and makes it durable; the peer only writes it, so
it is measured once more with a `sync` of its file. What both stored is compared line by line (the key of
\\restrict is another in each dump). Caches are warm: everything is dumped once before.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed.
"""

import argparse
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import Failed, in_turn, machine, remove, run, say, shell  # noqa: E402
from storages import MIB, Server, block  # noqa: E402

LIMIT = 1.05
PEAK = 64 * MIB
# About 1 KiB a row, half of it noise and half of it words.
ROWS = (
    "create unlogged table t as select i, now() + i * interval '1 s' as at, "
    "(select string_agg(md5(random()::text || i || j), '') from generate_series(1, 12) j) as noise, "
    "repeat(md5((i / 100)::text) || ' some words that come again ', 10) as words "
    "from generate_series(1, {rows}) i"
)


def config(work, server, form):
    path = os.path.join(work, f"{form}.conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write(
            f"main: {{server_name: bench, state_dir: {work}/state, log_file: {work}/log}}\n"
            f"jobs:\n- job: {form}\n  type: postgresql\n  compress: zstd\n  tmp_dir: {work}/tmp\n"
            f"  sources:\n  - connect: {{socket: {server.path('sock')}, db_port: {server.port()}, db_user: postgres}}\n"
            f"    target: [bench]\n    format: {form}\n"
            + ("    extra_keys: -Z0\n" if form == "custom" else "")
            + f"  storages:\n  - {{storage: local, backup_dir: {work}/store-{form}, store: {{last: 1}}}}\n"
        )
    os.chmod(path, 0o600)
    return path


def compare(ours, theirs):
    """Raises Failed unless two compressed dumps hold the same lines, but for the key of \\restrict."""
    plain = lambda path: f"<(zstd -dc '{path}' | grep -av '^.\\(un\\)\\?restrict ')"
    run(shell(f"cmp {plain(ours)} {plain(theirs)}"))


def bench(options, work, program):
    server = Server("postgresql", os.path.join(work, "server"), block(3), {})
    try:
        psql = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", server.path("sock"), "-p", str(server.port())]
        say(f"making a database of {options.mib} MiB")
        run([*psql, "-c", "create database bench"])
        run([*psql, "-d", "bench", "-c", ROWS.format(rows=options.mib * 1100)])
        pg_dump = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_dump"))[-1]
        peer = f"{pg_dump} -U postgres -h {server.path('sock')} -p {server.port()}"
        file = os.path.join(work, "peer.zst")
        pipeline = lambda more: f"{peer} {more} bench | zstd -q -T2 -3 -f -o {file}"
        rows = []
        for form, more in [("plain", ""), ("custom", "-Fc -Z0")]:
            store = os.path.join(work, f"store-{form}")
            ours = [program, "-q", "-c", config(work, server, form), "start"]
            run(shell(pipeline(more)))
            clean = lambda: (remove(store), remove(file))
            runs = in_turn(
                {
                    "ours": (clean, ours, None),
                    "pg_dump | zstd": (clean, shell(pipeline(more)), None),
                    "pg_dump | zstd, synced": (clean, shell(pipeline(more) + f" && sync {file}"), None),
                },
                options.rounds,
            )
            clean()
            run(ours)
            run(shell(pipeline(more)))
            stored = glob.glob(f"{store}/bench/*/*.zst")[0]
            if form == "plain":
                compare(stored, file)
            rows.append((form, runs, os.path.getsize(stored), os.path.getsize(file)))
        return rows
    finally:
        server.close()


def tell(options, rows, work, program):
    """Prints the table and gives the exit code."""
    missed = []
    print("\n".join(machine(work, program)))
    print(f"- {options.mib} MiB of rows, median of {options.rounds} rounds in turn\n")
    print("| format | ours | pg_dump \\| zstd | ratio | with sync | ratio | our peak | stored, ours / peer |")
    print("|---|---|---|---|---|---|---|---|")
    for form, runs, stored, peers in rows:
        ours, peer, synced = runs["ours"], runs["pg_dump | zstd"], runs["pg_dump | zstd, synced"]
        ratio = ours.wall / peer.wall
        print(
            f"| {form} | {ours.wall:.2f} s | {peer.wall:.2f} s | {ratio:.2f} | {synced.wall:.2f} s | {ours.wall / synced.wall:.2f} "
            f"| {ours.peak / MIB:.0f} MiB | {stored / MIB:.0f} / {peers / MIB:.0f} MiB |"
        )
        if form == "plain" and ratio > LIMIT:
            missed.append(f"{form}: {ratio:.2f}, the limit is {LIMIT}")
        if ours.peak > PEAK:
            missed.append(f"{form}: a peak of {ours.peak / MIB:.0f} MiB, the limit is {PEAK // MIB}")
    for line in missed:
        print(f"missed: {line}")
    return 3 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", help="the release build of nxs-backup")
    parser.add_argument("--work", default="/var/tmp", help="a folder with room for five times the database")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = os.path.join(os.path.abspath(options.work), "nxs-backup-bench-postgresql")
    remove(work)
    os.makedirs(work)
    os.chmod(work, 0o755)
    program = os.path.abspath(options.program)
    try:
        return tell(options, bench(options, work, program), work, program)
    except Failed as failed:
        say(str(failed))
        return 1
    finally:
        remove(work)


if __name__ == "__main__":
    sys.exit(main())
