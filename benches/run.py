#!/usr/bin/env python3
"""Runs nxs-backup and its peers in turn on the same files, checks what both made, prints a table.

The peers are `tar | zstd -T2 -3`, `tar | pigz -6` and `zstd -dc | tar -x`. nxs-backup makes its copy
durable (fsync) before it says that it is done; the plain peers do not, so each is measured twice, plain
and with a `sync` of its file. Caches are warm: everything is read once before.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed or a case
was left out for want of room.
"""

import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import (  # noqa: E402
    Failed, in_turn, machine, remove, run, same_bytes, same_tree, say, shell, tree_bytes,
)

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 2**20
PEAK = 128 * MIB
MARK = ".made-by-run.py"


class Bench:
    """The work folder, what lies in it, and the rows of the table so far."""

    def __init__(self, options):
        self.options = options
        self.work = os.path.join(os.path.abspath(options.work), "nxs-backup-bench")
        self.rows = []
        self.failed = []
        self.missed = []
        self.program = options.ours or build()

    def path(self, *names):
        return os.path.join(self.work, *names)

    # -- what is measured on ------------------------------------------------------------------

    def generate(self, name, *arguments):
        """Makes a tree with the generator, unless the same one is there from an earlier run."""
        target, done = self.path(name), self.path(name + ".made")
        words = " ".join(arguments)
        if os.path.exists(done) and open(done, encoding="utf-8").read() == words:
            return target
        remove(done)
        remove(target)
        say(f"making {name}: {words}")
        began = time.monotonic()
        os.makedirs(os.path.dirname(target), exist_ok=True)
        run([self.generator(), "--out", target, *arguments])
        say(f"  {time.monotonic() - began:.0f} s")
        with open(done, "w", encoding="utf-8") as note:
            note.write(words)
        return target

    def generator(self):
        binary = self.path("webtree")
        if not os.path.exists(binary):
            source = os.path.join(TOP, "benches", "webtree", "main.rs")
            run(["rustc", "--edition", "2024", "-O", "-o", binary, source])
        return binary

    def tree(self):
        o = self.options
        tree = self.generate("tree", "--seed", str(o.seed), "--bytes", str(o.bytes), "--files", str(o.files))
        run(shell(f"tar -cf - -C {self.work} tree | cat >/dev/null"))
        return tree

    def room(self, wanted):
        """Raises Failed when the work folder cannot take `wanted` bytes more."""
        free = shutil.disk_usage(self.work).free
        if free < wanted + 512 * MIB:
            raise Failed(f"left out: needs {wanted / 2**30:.1f} GiB in {self.work}, has {free / 2**30:.1f}")

    # -- our side -----------------------------------------------------------------------------

    def config(self, name, target, compress="zstd", stores=1, days=2):
        """Writes a config with one job called `site`."""
        lines = [
            "main:", "  server_name: bench", f"  state_dir: {self.path('state')}", "jobs:", "- job: site",
            "  type: desc_files", "  sources:", f"  - target: ['{target}']", f"    compress: {compress}", "  storages:",
        ]
        for number in range(1, stores + 1):
            lines += ["  - storage: local", f"    backup_dir: {self.path(f'store{number}')}", f"    store: {{days: {days}}}"]
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
        return path

    def ours(self, config, *words):
        return [self.program, "-c", config, *words]

    def forget(self):
        """Removes every copy and every memory of ours."""
        for name in ("state", "store1", "store2", "store3"):
            remove(self.path(name))

    def artefact(self, store="store1", ending="zst"):
        found = glob.glob(self.path(store, "**", f"*.tar.{ending}"), recursive=True)
        if len(found) != 1:
            raise Failed(f"{store}: one artefact was expected, there are {found}")
        return found[0]

    # -- the table ----------------------------------------------------------------------------

    def row(self, case, figure, value, limit=None, shown=None, detail=""):
        """Adds a line: the value is within the limit, or missed."""
        shown = shown or f"{value:.2f}"
        verdict = ""
        if limit is not None:
            held = value <= limit[0]
            verdict = f"≤ {limit[1]}, " + ("held" if held else "**missed**")
            if not held:
                self.missed.append(f"{case}, {figure}")
        self.rows.append((case, figure, shown, verdict, detail))
        say(f"  {case}: {figure} {shown} {verdict} {detail}")

    def ratio(self, case, figure, ours, peer, unit, limit=None):
        detail = f"{ours:.2f} {unit} against {peer:.2f} {unit}"
        self.row(case, figure, ours / peer if peer else 0.0, limit and (limit, f"{limit:g}"), None, detail)

    def peak(self, case, ours, peer=None):
        detail = "" if peer is None else f"the largest process of the peer: {peer.peak / MIB:.0f} MiB"
        self.row(case, "peak memory", ours.peak, (PEAK, "128 MiB"), f"{ours.peak / MIB:.0f} MiB", detail)


def build():
    """Builds our release binary."""
    say("building")
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=TOP, check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target")), "release", "nxs-backup")


# -- cases ------------------------------------------------------------------------------------


def compressed(bench, name, ending, pack, limits):
    """A backup against `tar | pack`: wall, CPU, size, peak."""
    tree = bench.tree()
    bench.room(3 * bench.options.bytes)
    config = bench.config(f"{name}.conf", tree, name)
    plain, durable = bench.path(f"plain.tar.{ending}"), bench.path(f"durable.tar.{ending}")
    pipeline = lambda out: f"tar -cf - -C {bench.work} tree | {pack} > {out}"
    made = in_turn({
        "ours": (bench.forget, bench.ours(config, "start", "site"), None),
        "peer": (lambda: remove(plain), shell(pipeline(plain)), None),
        "durable peer": (lambda: remove(durable), shell(f"{pipeline(durable)} && sync {durable}"), None),
    }, bench.options.rounds)
    ours, peer, fsynced = made["ours"], made["peer"], made["durable peer"]
    artefact = bench.artefact(ending=ending)
    for stored in (artefact, plain):
        run(["zstd" if ending == "zst" else "gzip", "-t", "-q", stored])
    sizes = os.path.getsize(artefact) / MIB, os.path.getsize(plain) / MIB
    against = f"{name} against `tar -c \\| {pack}`"
    bench.ratio(against, "wall time", ours.wall, peer.wall, "s", limits["wall"])
    bench.ratio(f"{against}, made durable", "wall time", ours.wall, fsynced.wall, "s")
    bench.ratio(against, "CPU time", ours.cpu, peer.cpu, "s", limits.get("cpu"))
    bench.ratio(against, "stored size", *sizes, "MiB", limits["size"])
    bench.peak(against, ours, peer)
    restored = bench.path("back")
    for stored in (artefact, plain):
        remove(restored)
        os.mkdir(restored)
        tool = "zstd -dc" if ending == "zst" else "gzip -dc"
        run(shell(f"{tool} {stored} | tar -xpf - -C {restored}"))
        if stored == artefact:
            same_tree(tree, os.path.join(restored, tree.lstrip("/")))
        else:
            same_tree(tree, os.path.join(restored, "tree"), whole_seconds=True)
    for path in (plain, durable, restored):
        remove(path)


def case_zstd(bench):
    compressed(bench, "zstd", "zst", "zstd -T2 -3 -q -c", {"wall": 0.8, "cpu": 0.9, "size": 1.02})


def case_gzip(bench):
    compressed(bench, "gzip", "gz", "pigz -6 -p 2", {"wall": 0.5, "size": 1.01})


def case_three(bench):
    """Three storages at once against one."""
    tree = bench.tree()
    bench.room(3 * bench.options.bytes)
    one, three = bench.config("one.conf", tree), bench.config("three.conf", tree, stores=3)
    made = in_turn({
        "one": (bench.forget, bench.ours(one, "start", "site"), None),
        "three": (bench.forget, bench.ours(three, "start", "site"), None),
    }, bench.options.rounds)
    artefacts = [bench.artefact(f"store{number}") for number in (1, 2, 3)]
    for artefact in artefacts[1:]:
        same_bytes(artefacts[0], artefact)
    run(["zstd", "-t", "-q", artefacts[0]])
    bench.ratio("three local storages against one", "wall time", made["three"].wall, made["one"].wall, "s", 1.3)
    bench.ratio("three local storages against one", "CPU time", made["three"].cpu, made["one"].cpu, "s")
    bench.peak("three local storages", made["three"])


def stored(bench):
    """Makes sure that one copy of the tree is stored; gives tree, config and artefact."""
    tree = bench.tree()
    config = bench.config("zstd.conf", tree)
    bench.forget()
    run(bench.ours(config, "start", "site"))
    return tree, config, bench.artefact()


def case_restore(bench):
    """A full restore against `zstd -dc | tar -x` of the same artefact."""
    bench.room(4 * bench.options.bytes)
    tree, config, artefact = stored(bench)
    back, peer_back = bench.path("back"), bench.path("peer-back")

    def empty(path):
        remove(path)
        os.mkdir(path)

    made = in_turn({
        "ours": (lambda: empty(back), bench.ours(config, "restore", "site", "--to", back), None),
        "peer": (lambda: empty(peer_back), shell(f"zstd -dc {artefact} | tar -xpf - -C {peer_back}"), None),
    }, bench.options.rounds)
    for restored in (back, peer_back):
        same_tree(tree, os.path.join(restored, tree.lstrip("/")))
        remove(restored)
    case = "full restore against `zstd -dc \\| tar -x`"
    bench.ratio(case, "wall time", made["ours"].wall, made["peer"].wall, "s", 1.0)
    bench.ratio(case, "CPU time", made["ours"].cpu, made["peer"].cpu, "s")
    bench.peak(case, made["ours"], made["peer"])


def case_one_file(bench):
    """One file of 10 KiB out of the whole artefact."""
    tree, config, artefact = stored(bench)
    wanted = near(tree, 10 * 1024)
    back = bench.path("back")
    argv = bench.ours(config, "restore", "site", "--path", wanted, "--to", back)
    made = in_turn({"one file": (lambda: remove(back), argv, None)}, max(5, bench.options.rounds))["one file"]
    found = os.path.join(back, wanted.lstrip("/"))
    same_bytes(wanted, found)
    if sum(len(names) for _, _, names in os.walk(back)) != 1:
        raise Failed(f"more than {found} came back")
    remove(back)
    case = f"one file of {os.path.getsize(wanted)} bytes out of {os.path.getsize(artefact) / MIB:.0f} MiB"
    bench.row(case, "wall time", made.wall, (0.2, "0.2 s"), f"{made.wall * 1000:.0f} ms")
    if made.read is None:
        raise Failed("/proc does not tell how much was read")
    part = made.read / os.path.getsize(artefact)
    bench.row(case, "bytes read", part, (0.01, "1 %"), f"{part:.3%}", f"{made.read / 1024:.0f} KiB by read calls, config and manifest included")


def near(tree, size):
    """A plain file of about `size` bytes from the middle of the tree."""
    found = []
    for folder, _, names in sorted(os.walk(tree)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if os.path.isfile(path) and not os.path.islink(path) and status.st_nlink == 1 and abs(status.st_size - size) < size / 50:
                found.append(path)
    if not found:
        raise Failed(f"no file of about {size} bytes in {tree}")
    return found[len(found) // 2]


def case_big(bench):
    """One file that no compressor makes smaller: memory stays bounded."""
    size = bench.options.big
    bench.room(2 * size + size // 50)
    big = bench.generate("big/noise.bin", "--seed", "7", "--noise", str(size))
    config = bench.config("big.conf", os.path.dirname(big))
    made = in_turn({"big": (bench.forget, bench.ours(config, "start", "site"), None)}, 1)["big"]
    run(shell(f"zstd -dc {bench.artefact()} | tar -xOf - --wildcards '*/noise.bin' | cmp - {big}"))
    case = f"one file of {size / 2**30:.1f} GiB"
    bench.row(case, "wall time", made.wall, None, f"{made.wall:.0f} s", f"{size / MIB / made.wall:.0f} MiB/s")
    bench.peak(case, made)
    bench.forget()
    remove(bench.path("big"))
    remove(bench.path("big/noise.bin.made"))


def case_million(bench):
    """A tree of very many empty files."""
    count = bench.options.million
    tree = bench.generate("million", "--empty", str(count))
    config = bench.config("million.conf", tree)
    peer = bench.path("million.tar.zst")
    made = in_turn({
        "ours": (bench.forget, bench.ours(config, "start", "site"), None),
        "peer": (lambda: remove(peer), shell(f"tar -cf - -C {bench.work} million | zstd -T2 -3 -q -c > {peer}"), None),
    }, 1)
    listed = run(shell(f"zstd -dc {bench.artefact()} | tar -tf - | grep -vc '/$'"), keep_stdout=True).stdout
    if int(listed) != count:
        raise Failed(f"{listed} files in the artefact, {count} were expected")
    case = f"{count:,} empty files"
    bench.ratio(f"{case} against `tar -c \\| zstd -T2 -3`", "wall time", made["ours"].wall, made["peer"].wall, "s")
    bench.peak(case, made["ours"], made["peer"])
    for path in (peer, tree, tree + ".made"):
        remove(path)


def case_version(bench):
    """How long the program takes to start."""
    took = statistics.median(run([bench.program, "--version"]).wall for _ in range(21))
    bench.row("`--version`", "wall time", took, (0.02, "20 ms"), f"{took * 1000:.1f} ms", "spawning it included")


def case_list(bench):
    """`list` on a thousand manifests: a hundred targets on ten days."""
    many = bench.path("many")
    remove(many)
    for number in range(100):
        os.makedirs(os.path.join(many, f"site{number:03}"))
        with open(os.path.join(many, f"site{number:03}", "index.html"), "w", encoding="utf-8") as page:
            page.write(f"<p>{number}</p>\n")
    config = bench.config("many.conf", os.path.join(many, "*"), days=20)
    bench.forget()
    for day in range(1, 11):
        env = dict(os.environ, NXS_BACKUP_NOW=f"2026-11-{day:02}T03:00:00+00:00[UTC]", TZ="UTC")
        run(bench.ours(config, "start", "site"), env)
    manifests = len(glob.glob(bench.path("store1", "**", "*.manifest.json"), recursive=True))
    if manifests != 1000:
        raise Failed(f"{manifests} manifests were made, 1000 were expected")
    ids = run(bench.ours(config, "list", "--json"), keep_stdout=True).stdout.count('"id"')
    if ids < 1000:
        raise Failed(f"`list --json` names {ids} of 1000 artefacts")
    took = statistics.median(run(bench.ours(config, "list")).wall for _ in range(7))
    bench.row("`list` of 1,000 manifests", "wall time", took, (0.3, "300 ms"), f"{took * 1000:.0f} ms")
    remove(many)


CASES = {
    "zstd": case_zstd, "gzip": case_gzip, "three": case_three, "restore": case_restore, "one-file": case_one_file,
    "version": case_version, "list": case_list, "million": case_million, "big": case_big,
}


# -- the frame --------------------------------------------------------------------------------


def table(bench):
    """The whole result as markdown."""
    o = bench.options
    lines = [
        "# Benchmarks", "",
        f"Made on {time.strftime('%Y-%m-%d')} by `benches/run.py`, which says what each figure means; ratios are ours to the peer's.", "",
    ]
    lines += machine(bench.work, bench.program)
    lines.append(
        f"- tree: seed {o.seed}, {o.files:,} files, {o.bytes / 2**30:.2f} GiB; medians of {o.rounds} rounds in turn, warm cache; "
        "peak memory is the largest resident set of any process, all rounds"
    )
    lines.append(f"- cases: {o.cases}")
    lines += ["", "| case | figure | result | limit | detail |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in bench.rows]
    lines += [f"\n`{name}` gave no figures: {why}" for name, why in bench.failed]
    return "\n".join(lines) + "\n"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="/var/tmp", help="where to make the folder nxs-backup-bench for trees and copies (default %(default)s)")
    parser.add_argument("--ours", help="our program; built with `cargo build --release` unless given")
    parser.add_argument("--cases", default=",".join(CASES), help="which, in which order (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=2 * 2**30, help="size of the web tree")
    parser.add_argument("--files", type=int, default=100_000, help="files of the web tree")
    parser.add_argument("--million", type=int, default=1_000_000, help="how many empty files")
    parser.add_argument("--big", type=int, default=20 * 2**30, help="bytes of the one big file")
    parser.add_argument("--out", help="write the table to this file too")
    parser.add_argument("--keep", action="store_true", help="leave the work folder for the next run")
    given = parser.parse_args()
    unknown = set(given.cases.split(",")) - set(CASES)
    if unknown or given.rounds < 1:
        parser.error(f"no such case: {', '.join(sorted(unknown))}" if unknown else "--rounds is at least 1")
    return given


def claim(work):
    """Takes a folder that is empty or was ours: what is in it will be removed."""
    os.makedirs(work, mode=0o700, exist_ok=True)
    if os.listdir(work) and not os.path.exists(os.path.join(work, MARK)):
        sys.exit(f"run.py: {work} is not of an earlier run: name another --work")
    with open(os.path.join(work, MARK), "w", encoding="utf-8"):
        pass


def main():
    given = options()
    missing = [tool for tool in ("bash", "tar", "zstd", "pigz", "gzip", "rustc") if not shutil.which(tool)]
    if missing:
        sys.exit(f"run.py: missing: {', '.join(missing)}")
    bench = Bench(given)
    claim(bench.work)
    for name in given.cases.split(","):
        say(f"== {name}")
        try:
            CASES[name](bench)
        except (Failed, OSError) as error:
            say(f"  FAILED: {error}")
            bench.failed.append((name, str(error)))
    text = table(bench)
    print(text, end="")
    if given.out:
        with open(given.out, "w", encoding="utf-8") as out:
            out.write(text)
    if not given.keep:
        remove(bench.work)
    for missed in bench.missed:
        say(f"missed: {missed}")
    left_out = [name for name, why in bench.failed if why.startswith("left out")]
    if len(bench.failed) > len(left_out):
        sys.exit(1)
    sys.exit(3 if bench.missed or left_out else 0)


if __name__ == "__main__":
    main()
