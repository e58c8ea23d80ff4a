#!/usr/bin/env python3
"""Dumps databases of known size with ours and, in turn, with the stock tool and zstd.

The servers are those of the tests (tests/services), on loopback. One database: wall time of
`nxs-backup start` to that of `DUMP | zstd -T2 -3 > file`, and our largest resident set. Five
databases: `parallel: 2` to one after the other, straight and where a proxy holds each connection to
20 MiB/s. An engine is a class with a server, content, a source and a stock command.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed.
"""

import argparse
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import Failed, in_turn, remove, run, say, shell, tree_bytes  # noqa: E402
from storages import Server, block  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 2**20
PEAK = 64 * MIB
RATE = 20 * MIB


class Engine:
    """A kind of database server. `port` may be that of a proxy."""

    name = kind = server = ""

    def __init__(self, server):
        self.at = server

    def fill(self, database, mib):
        """Makes a database whose dump has about `mib` MiB, half of it compressible."""
        raise NotImplementedError

    def source(self, databases, port):
        """The entry of `sources`, as JSON is YAML."""
        raise NotImplementedError

    def stock(self, database):
        """The shell command whose stdout is the dump of a careful administrator."""
        raise NotImplementedError


class MariaDb(Engine):
    name, kind, server = "mariadb", "mysql", "mariadb"

    def sql(self, text):
        run(["mariadb", "--no-defaults", "-uroot", f"--socket={self.at.path('a.sock')}", "-e", text])

    def fill(self, database, mib):
        # A row of 8 KiB: half hex digits of chance, half the same words.
        row = "CONCAT(REPEAT(MD5(RAND()), 1), (SELECT GROUP_CONCAT(MD5(RAND()) SEPARATOR '') FROM seq_1_to_127), REPEAT('all work ', 455))"
        rows = mib * MIB // 8192
        self.sql(f"SET SESSION group_concat_max_len = 65536; DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}; "
                 f"USE {database}; CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT) ENGINE=InnoDB; "
                 f"INSERT INTO t (v) SELECT {row} FROM seq_1_to_{rows}")

    def source(self, databases, port):
        return {"connect": {"db_host": "127.0.0.1", "db_port": port, "db_user": "root", "db_password": "svcpw"}, "target": databases}

    def stock(self, database):
        return ("mariadb-dump --no-defaults -h127.0.0.1 -uroot -psvcpw --single-transaction --quick --routines --triggers --events "
                f"--hex-blob --default-character-set=utf8mb4 -P{self.at.port()} {database}")


ENGINES = [MariaDb]


class Job:
    """A config in a folder of its own, for one run of ours."""

    def __init__(self, folder, program, engine, databases, port, parallel):
        import json
        self.folder, self.program = folder, program
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "nxs-backup.conf")
        job = {
            "job": "bench", "type": engine.kind, "compress": "zstd", "parallel": parallel,
            "tmp_dir": os.path.join(folder, "tmp"), "sources": [engine.source(databases, port)],
            "storages": [{"storage": "local", "backup_dir": os.path.join(folder, "out"), "store": {"days": 1}}],
        }
        main = {"server_name": "bench", "state_dir": os.path.join(folder, "state")}
        with open(self.config, "w", encoding="utf-8") as out:
            json.dump({"main": main, "jobs": [job]}, out)
        os.chmod(self.config, 0o600)

    def variant(self):
        return lambda: remove(os.path.join(self.folder, "out")), [self.program, "-c", self.config, "-q", "start"], None


def one(engine, folder, program, mib, rounds):
    """One database: wall time to the stock pipeline, and memory."""
    engine.fill("bench_one", mib)
    file = os.path.join(folder, "stock.sql.zst")
    stock = shell(f"{engine.stock('bench_one')} | zstd -q -T2 -3 > {file}")
    ours = Job(os.path.join(folder, "one"), program, engine, ["bench_one"], engine.at.port(), 1)
    done = in_turn({"ours": ours.variant(), "stock": (lambda: remove(file), stock, None)}, rounds)
    say(f"  stored: ours {tree_bytes(os.path.join(folder, 'one', 'out'))}, stock {os.path.getsize(file)} bytes")
    ratio, peak = done["ours"].wall / done["stock"].wall, done["ours"].peak
    return [(f"{engine.name}, {mib} MiB: wall to the stock pipeline", ratio, 1.05),
            (f"{engine.name}, {mib} MiB: our peak in MiB", peak / MIB, PEAK / MIB)]


def five(engine, folder, program, proxy, mib, rounds):
    """Five databases, two at a time, straight and behind a slow line."""
    names = [f"bench_{number}" for number in range(5)]
    for name in names:
        engine.fill(name, mib)
    rows = []
    helper = subprocess.Popen([proxy, "0", str(RATE), str(engine.at.port())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    slow = int(helper.stdout.readline())
    for what, port, limit in (("straight", engine.at.port(), 1.0), ("20 MiB/s a connection", slow, 0.6)):
        two, single = (Job(os.path.join(folder, f"five{n}"), program, engine, names, port, n) for n in (2, 1))
        done = in_turn({"two at a time": two.variant(), "one by one": single.variant()}, rounds)
        rows.append((f"{engine.name}, 5 of {mib} MiB, {what}: two at a time to one by one", done["two at a time"].wall / done["one by one"].wall, limit))
    helper.stdin.close()
    helper.wait()
    return rows


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--program", default=os.path.join(TOP, "target/release/nxs-backup"))
    ask.add_argument("--proxy", help="the program of benches/proxy.rs; without it the five databases are left out")
    ask.add_argument("--engine", choices=[engine.name for engine in ENGINES], action="append")
    ask.add_argument("--mib", type=int, default=1024)
    ask.add_argument("--each", type=int, default=200)
    ask.add_argument("--rounds", type=int, default=3)
    args = ask.parse_args()
    missed = False
    for number, kind in enumerate(ENGINES):
        if args.engine and kind.name not in args.engine:
            continue
        with tempfile.TemporaryDirectory(prefix="nxs-bench-") as folder:
            os.chmod(folder, 0o755)
            server = Server(kind.server, os.path.join(folder, "server"), block(number), {})
            try:
                engine = kind(server)
                rows = one(engine, folder, args.program, args.mib, args.rounds)
                if args.proxy:
                    rows += five(engine, folder, args.program, args.proxy, args.each, args.rounds)
            finally:
                server.close()
            for what, value, limit in rows:
                missed = missed or value > limit
                print(f"{'ok    ' if value <= limit else 'MISSED'} {what}: {value:.2f} (at most {limit:g})")
    return 3 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        say(f"failed: {error}")
        sys.exit(1)
