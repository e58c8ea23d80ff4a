#!/usr/bin/env python3
"""Uploads one incompressible file to every kind of storage, in turn with the stock client of each.

The servers are those of the tests (tests/services), on loopback; the peers are `rclone rcat`, OpenSSH's
`sftp`, `curl -T`, `smbclient` and `nfs-cp`. Ours stores an artefact with its digests, index and manifest
and makes it durable; the peers only copy. `verify --full` reads back what we stored. Then the same over
a line with a round trip of 40 ms, and a slow storage beside two fast ones.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import Failed, in_turn, machine, remove, run, say, shell  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 2**20
PEAK = 128 * MIB
PASSWORD = "svcpw"


class Server:
    """A server of tests/services; it goes with the `with` block."""

    def __init__(self, name, folder, port, environment):
        self.folder, self.first = folder, port
        serve = os.path.join(TOP, "tests", "services", "serve")
        self.child = subprocess.Popen([serve, name, folder, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        if self.child.stdout.readline().strip() != "ready":
            raise Failed(f"the server {name} did not start: see {folder}/serve.log")

    def port(self, number=0):
        return self.first + number

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def text(self, name):
        with open(self.path(name), encoding="utf-8") as lines:
            return lines.read().strip()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def block(number):
    """The first of 64 ports that nobody uses."""
    for first in range(16_000 + 64 * number, 20_000, 64 * 8):
        with contextlib.suppress(OSError):
            for port in range(first, first + 64):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise Failed("no free ports")


# -- kinds: what we are told, what the peer is told, where to make room -------------------------


class Kind:
    """One kind of storage. `ports` are the ports that a proxy may stand for."""

    server = ""
    # For the server.
    environment = {}
    limit = 1.0
    peer_name = ""

    def __init__(self, server, source):
        self.server_at, self.source, self.round = server, source, 0

    def ports(self):
        return [self.server_at.port()]

    def keys(self, ports):
        """Our config of the storage, reached through `ports`."""
        raise NotImplementedError

    def peer(self):
        """The peer's command."""
        raise NotImplementedError

    def folder(self):
        """Where the server keeps what it is given."""
        raise NotImplementedError

    def empty(self):
        for name in os.listdir(self.folder()):
            remove(os.path.join(self.folder(), name))


class S3(Kind):
    server, peer_name = "ceph", "rclone rcat"
    environment = {"CEPH_MEMORY_GIB": "6"}

    def keys(self, ports):
        return {
            "storage": "s3", "bucket_name": "main", "access_key_id": "svckey", "secret_access_key": "svcsecret",
            "endpoint": f"http://127.0.0.1:{ports[0]}", "region": "us-east-1", "backup_dir": "bench",
        }

    def remote(self):
        url = f"http://127.0.0.1:{self.server_at.port()}"
        return f":s3,provider=Ceph,access_key_id=svckey,secret_access_key=svcsecret,endpoint='{url}':main"

    def peer(self):
        # A CA of the environment's is none of rclone's business here, and it cannot take one.
        return shell(f"env -u AWS_CA_BUNDLE rclone --config /dev/null rcat \"{self.remote()}/peer\" < {self.source}")

    def empty(self):
        for name in ("bench", "peer"):
            subprocess.run(["env", "-u", "AWS_CA_BUNDLE", "rclone", "--config", "/dev/null", "purge" if name == "bench" else "deletefile", f"{self.remote()}/{name}"], capture_output=True, check=False)
        # The gateway would give the memory back later.
        collect = ["radosgw-admin", "-c", self.server_at.path("ceph.conf"), "gc", "process", "--include-all"]
        subprocess.run(collect, capture_output=True, check=True)


class Scp(Kind):
    server, peer_name, limit = "sshd", "sftp put", 1.3

    def keys(self, ports):
        return {
            "storage": "scp", "host": "127.0.0.1", "port": ports[0], "user": "svcsftp", "path_to_key": self.server_at.path("keys", "ed25519"),
            "host_key": " ".join(self.server_at.text("host_ed25519.pub").split()[:2]), "backup_dir": "bench",
        }

    def peer(self):
        # OpenSSH takes no key that others may read.
        key, hosts = os.path.dirname(self.source) + ".key", self.server_at.path("known_hosts")
        shutil.copyfile(self.server_at.path("keys", "ed25519"), key)
        os.chmod(key, 0o600)
        words = f"-q -b - -P {self.server_at.port()} -i {key} -o UserKnownHostsFile={hosts} svcsftp@127.0.0.1"
        return shell(f"echo 'put {self.source} peer' | sftp {words}")

    def folder(self):
        return self.server_at.path("home", "svcsftp")


class Ftp(Kind):
    server, peer_name, limit = "proftpd", "curl -T", 1.1

    def keys(self, ports):
        return {"storage": "ftp", "host": "127.0.0.1", "port": ports[0], "user": "svcftp", "password": PASSWORD, "backup_dir": "bench"}

    def peer(self):
        return ["curl", "-sS", "-T", self.source, f"ftp://svcftp:{PASSWORD}@127.0.0.1:{self.server_at.port()}/peer"]

    def folder(self):
        return self.server_at.path("home")


class Smb(Kind):
    server, peer_name = "samba", "smbclient put"

    def keys(self, ports):
        return {"storage": "smb", "host": "127.0.0.1", "port": ports[0], "share": "data", "user": "svcsmb", "password": PASSWORD, "backup_dir": "bench"}

    def peer(self):
        where = f"-p {self.server_at.port()} -U svcsmb%{PASSWORD} //127.0.0.1/data"
        return shell(f"smbclient {where} -c 'put {self.source} peer'")

    def folder(self):
        return self.server_at.path("shares", "data")


class Nfs(Kind):
    """Ganesha remembers a folder that was removed behind its back: each round has its own."""

    server, peer_name = "ganesha", "nfs-cp"

    def ports(self):
        return [self.server_at.port(), self.server_at.port(1)]

    def keys(self, ports):
        export = self.folder()
        return {"storage": "nfs", "host": "127.0.0.1", "export": export, "backup_dir": f"{export}/bench{self.round}", "port": ports[0], "mount_port": ports[1]}

    def peer(self):
        nfs, mount = self.ports()
        where = f"nfs://127.0.0.1{self.folder()}/peer$RANDOM$RANDOM?nfsport={nfs}\\&mountport={mount}"
        return shell(f"nfs-cp {self.source} {where}")

    def folder(self):
        return self.server_at.path("export")


class Webdav(Kind):
    server, peer_name, limit = "apache", "curl -T", 1.1

    def url(self, port):
        return f"http://127.0.0.1:{port}/basic/"

    def keys(self, ports):
        return {"storage": "webdav", "host": self.url(ports[0]), "user": "svcdav", "password": PASSWORD, "backup_dir": "bench"}

    def peer(self):
        return ["curl", "-sS", "-f", "-o", "/dev/null", "-u", f"svcdav:{PASSWORD}", "-T", self.source, self.url(self.server_at.port()) + "peer"]

    def folder(self):
        return self.server_at.path("dav", "root", "basic")


KINDS = {"s3": S3, "scp": Scp, "ftp": Ftp, "smb": Smb, "nfs": Nfs, "webdav": Webdav}
# Over 40 ms, in MiB/s at least.
FAR = {"s3": 100, "scp": 20, "nfs": 20}


class Bench:
    def __init__(self, options):
        self.options, self.rows, self.missed, self.failed = options, [], [], []
        self.work = os.path.join(os.path.abspath(options.work), "nxs-backup-bench-storages")
        remove(self.work)
        os.makedirs(self.work, mode=0o755)
        self.program = options.ours or build()
        self.proxy = os.path.join(self.work, "proxy")
        run(["rustc", "--edition", "2024", "-O", "-o", self.proxy, os.path.join(TOP, "benches", "proxy.rs")])

    def path(self, *names):
        return os.path.join(self.work, *names)

    def noise(self, name, size):
        """A folder with one file that no compressor makes smaller."""
        os.makedirs(self.path(name), exist_ok=True)
        run(shell(f"openssl enc -aes-128-ctr -pass pass:{name} -nosalt -pbkdf2 < /dev/zero 2>/dev/null | head -c {size} > {self.path(name, 'noise')} || true"))
        if os.path.getsize(self.path(name, "noise")) != size:
            raise Failed("the noise is not as long as it should be")
        return self.path(name, "noise")

    def config(self, target, storages, spool=False):
        """Writes a config with one job called `site`; JSON is YAML."""
        source = {"target": [os.path.dirname(target)], "compress": "none"}
        job = {"job": "site", "type": "desc_files", "spool": spool, "tmp_dir": self.path("tmp"), "sources": [source]}
        job["storages"] = [dict(keys, store={"days": 2}) for keys in storages]
        main = {"server_name": "bench", "state_dir": self.path("state")}
        path = self.path("nxs-backup.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump({"main": main, "jobs": [job]}, out)
        return path

    def ours(self, config, *words):
        return [self.program, "-c", config, *words]

    def row(self, case, figure, shown, value=None, limit=None, words="", detail=""):
        verdict = ""
        if limit is not None:
            held = value <= limit
            verdict = f"{words}, " + ("held" if held else "**missed**")
            if not held:
                self.missed.append(f"{case}, {figure}")
        self.rows.append((case, figure, shown, verdict, detail))
        say(f"  {case}: {figure} {shown} {verdict} {detail}")

    @contextlib.contextmanager
    def line(self, ports, round_trip_ms=0, rate=0):
        """Ports that lead to `ports` over a slow line."""
        words = [self.proxy, str(round_trip_ms), str(rate), *map(str, ports)]
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield [int(child.stdout.readline()) for _ in ports]
        finally:
            child.stdin.close()
            child.wait()


def build():
    say("building")
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=TOP, check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target")), "release", "nxs-backup")


def near(bench, name, kind):
    """Ours against the stock client, straight to the server."""

    def forget():
        kind.empty()
        kind.round += 1
        remove(bench.path("state"))
        return bench.config(kind.source, [kind.keys(kind.ports())])

    config = forget()
    made = in_turn({
        "ours": (forget, bench.ours(config, "start", "site"), None),
        "peer": (forget, kind.peer(), None),
    }, bench.options.rounds, min)
    forget()
    run(bench.ours(config, "start", "site"))
    run(bench.ours(config, "verify", "site", "--full"))
    forget()
    ours, peer = made["ours"], made["peer"]
    size = bench.options.bytes
    detail = f"{ours.wall:.2f} s against {peer.wall:.2f} s, {size / MIB / ours.wall:.0f} MiB/s"
    ratio = ours.wall / peer.wall
    case = f"`{name}` against `{kind.peer_name}`"
    bench.row(case, "wall time", f"{ratio:.2f}", ratio, kind.limit, f"≤ {kind.limit:g}", detail)
    bench.row(case, "CPU time", f"{ours.cpu / peer.cpu:.2f}", detail=f"{ours.cpu:.2f} s against {peer.cpu:.2f} s")
    peak = f"{ours.peak / MIB:.0f} MiB"
    bench.row(case, "peak memory", peak, ours.peak, PEAK, "≤ 128 MiB", f"the peer: {peer.peak / MIB:.0f} MiB")


def far(bench, name, kind, least):
    """Ours over a line with a round trip of 40 ms."""
    with bench.line(kind.ports(), round_trip_ms=40) as ports:
        kind.empty()
        kind.round += 1
        remove(bench.path("state"))
        done = run(bench.ours(bench.config(kind.source, [kind.keys(ports)]), "start", "site"))
    kind.empty()
    speed = os.path.getsize(kind.source) / MIB / done.wall
    bench.row(f"`{name}` over 40 ms", "speed", f"{speed:.0f} MiB/s", -speed, -least, f"≥ {least} MiB/s", f"{done.wall:.2f} s")


def spool(bench):
    """One storage behind 8 Mbit/s beside two fast ones."""
    source = bench.noise("little", 24 * MIB)
    with contextlib.closing(Server("sshd", bench.path("svc-spool"), block(7), {})) as server:
        kind = Scp(server, source)
        with bench.line(kind.ports(), rate=1_000_000) as ports:
            fast = [{"storage": "local", "name": f"fast{n}", "backup_dir": bench.path(f"fast{n}")} for n in (1, 2)]
            config = bench.config(source, [*fast, dict(kind.keys(ports), name="slow")], spool=True)
            remove(bench.path("state"))
            began = time.monotonic()
            child = subprocess.Popen(bench.ours(config, "start", "site"), stdout=subprocess.DEVNULL)
            while sum(name.endswith(".manifest.json") for n in (1, 2) for _, _, names in os.walk(bench.path(f"fast{n}")) for name in names) < 2:
                if child.poll() is not None:
                    raise Failed("the run ended before the fast storages had a manifest")
                time.sleep(0.01)
            soon = time.monotonic() - began
            if child.wait() != 0:
                raise Failed(f"the run ended with {child.returncode}")
            late = time.monotonic() - began
    bench.row("two local storages beside one of 8 Mbit/s, `spool: yes`", "their copies are whole after", f"{soon:.2f} s", soon, late / 4, "≤ a quarter of the slow one's time", f"the slow one after {late:.1f} s")


def table(bench):
    o = bench.options
    lines = [
        "# Benchmarks of the storages", "",
        f"Made on {time.strftime('%Y-%m-%d')} by `benches/storages.py`, which says what each figure means; ratios are ours to the peer's.", "",
    ]
    lines += machine(bench.work, bench.program)
    lines += [
        f"- one file of {o.bytes / 2**30:g} GiB that does not compress, `compress: none`; the best of {o.rounds} rounds in turn; servers on loopback, on the same machine",
        "", "| case | figure | result | limit | detail |", "|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in bench.rows]
    lines += [f"\n`{name}` gave no figures: {why}" for name, why in bench.failed]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="/var/tmp", help="where to make the work folder (default %(default)s)")
    parser.add_argument("--ours", help="our program; built with `cargo build --release` unless given")
    parser.add_argument("--kinds", default=",".join([*KINDS, "spool"]), help="which (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=2 * 2**30, help="size of the file")
    parser.add_argument("--far-bytes", type=int, default=512 * MIB, help="size of the file for the slow line")
    parser.add_argument("--out", help="write the table to this file too")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if unknown := set(kinds) - set(KINDS) - {"spool"}:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    bench = Bench(options)
    source, far_source = bench.noise("one", options.bytes), bench.noise("far", options.far_bytes)
    for number, name in enumerate(kinds):
        say(f"== {name}")
        try:
            if name == "spool":
                spool(bench)
                continue
            kind = KINDS[name]
            with contextlib.closing(Server(kind.server, bench.path(f"svc-{name}"), block(number), kind.environment)) as server:
                near(bench, name, kind(server, source))
                if name in FAR:
                    far(bench, name, kind(server, far_source), FAR[name])
        except (Failed, OSError) as error:
            say(f"  FAILED: {error}")
            bench.failed.append((name, str(error)))
    text = table(bench)
    print(text, end="")
    if options.out:
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(text)
    remove(bench.work)
    for missed in bench.missed:
        say(f"missed: {missed}")
    sys.exit(1 if bench.failed else 3 if bench.missed else 0)


if __name__ == "__main__":
    main()
