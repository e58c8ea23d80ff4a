#!/usr/bin/env python3
"""Increments against `tar --listed-incremental` and `restic backup`, in turn on the same tree.

Each program first makes a full copy; then the same increment is made round after round against that. tar
gets a fresh copy of its snapshot file for each. nxs-backup makes its copy durable before it says that it
is done; the others do not.

Exit: 0 all limits held, 1 a command or a check failed, 2 wrong usage, 3 a limit was missed.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import Failed, in_turn, machine, remove, run, same_tree, say  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 2**20
PER_FOLDER = 5


class Bench:
    """The work folder and the rows of the table so far."""

    def __init__(self, options):
        self.options = options
        self.work = os.path.join(os.path.abspath(options.work), "nxs-backup-increments")
        self.rows, self.missed = [], False
        self.program = options.ours or os.path.join(TOP, "target", "release", "nxs-backup")
        self.env = {**os.environ, "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": self.path("restic-cache")}

    def path(self, *names):
        return os.path.join(self.work, *names)

    def row(self, case, figure, value, limit=None, detail="", form="{:.2f}"):
        verdict = ""
        if limit is not None:
            held = value <= limit
            self.missed |= not held
            verdict = f"≤ {form.format(limit)}, " + ("held" if held else "**missed**")
        self.rows.append(f"| {case} | {figure} | {form.format(value)} | {verdict} | {detail} |")
        say(self.rows[-1])

    # -- what is measured on ------------------------------------------------------------------

    def tree(self, files):
        """Makes a tree of `files` small files, five in each folder, 316 folders side by side at most."""
        root = self.path(f"tree-{files}")
        if os.path.exists(root + ".made"):
            return root
        remove(root)
        say(f"making {files} files")
        for number in range(files // PER_FOLDER):
            folder = os.path.join(root, f"group-{number // 1000:03}", f"part-{number % 1000 // 32:02}", f"folder-{number:06}")
            os.makedirs(folder)
            for file in range(PER_FOLDER):
                with open(os.path.join(folder, f"file-{number * 7919 % 10007:05}-{file}.txt"), "wb") as out:
                    out.write(b"%d %d\n" % (number, file) * (1 + (number + file) % 20))
        open(root + ".made", "w", encoding="ascii").close()
        time.sleep(3)
        return root

    def change(self, root, share):
        """Rewrites every n-th file in place, and makes and removes a few: `share` of all."""
        names = sorted(glob.glob(os.path.join(root, "*", "*", "*", "*")))
        step = int(1 / share)
        for at, name in enumerate(names[::step]):
            if at % 10 == 0:
                os.unlink(name)
            elif at % 10 == 1:
                with open(name + ".new", "wb") as out:
                    out.write(b"a new one\n")
            else:
                with open(name, "r+b") as out:
                    out.write(b"changed %d\n" % at)
        time.sleep(3)

    # -- the programs -------------------------------------------------------------------------

    def config(self, root, name, kind="inc_files"):
        conf = self.path(f"{name}.conf")
        store = "" if kind == "inc_files" else ", store: {last: 3}"
        with open(conf, "w", encoding="utf-8") as out:
            out.write(
                f"main: {{server_name: bench, state_dir: {self.path('state')}}}\n"
                f"jobs:\n- {{job: {name}, type: {kind}, compress: zstd, tmp_dir: {self.path('tmp')}, "
                f"sources: [{{target: ['{root}']}}], "
                f"storages: [{{storage: local, backup_dir: {self.path('store-' + name)}{store}}}]}}\n"
            )
        os.chmod(conf, 0o600)
        return [self.program, "-c", conf, "-q", "start"]

    def prepare_peers(self, root):
        remove(self.path("full.snar"))
        self.full_tar = self.tar(root, "full.snar", "full.tar")
        run(self.full_tar)
        if shutil.which("restic"):
            remove(self.path("restic"))
            run(["restic", "-r", self.path("restic"), "init", "-q"], self.env)
            run(self.restic(root), self.env)

    def tar(self, root, snar, out):
        return ["tar", "--format=posix", f"--listed-incremental={self.path(snar)}", "-cf", self.path(out),
                "-C", self.work, os.path.basename(root)]

    def restic(self, root):
        return ["restic", "-r", self.path("restic"), "backup", "-q", root]

    def variants(self, root, name, cold=False):
        def drop():
            if cold:
                run(["sync"])
                with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as out:
                    out.write("3\n")

        def fresh_snar():
            shutil.copyfile(self.path("full.snar"), self.path("now.snar"))
            drop()

        found = {
            "ours": (drop, self.config(root, name), self.env),
            "tar": (fresh_snar, self.tar(root, "now.snar", "now.tar"), self.env),
        }
        if shutil.which("restic") and not cold:
            found["restic"] = (drop, self.restic(root), self.env)
        return found

    def newest(self, name, end):
        found = glob.glob(self.path("store-" + name, "**", "*" + end), recursive=True)
        return os.path.getsize(max(found, key=os.path.getmtime))

    # -- the cases ----------------------------------------------------------------------------

    def compare(self, case, root, name, limits, cold=False):
        done = in_turn(self.variants(root, name, cold), self.options.rounds)
        ours = done["ours"]
        for peer, limit in limits.items():
            if peer in done:
                theirs = done[peer]
                detail = f"{ours.wall:.2f} s against {theirs.wall:.2f} s; CPU {ours.cpu:.2f} s against {theirs.cpu:.2f} s"
                self.row(f"{case} against {peer}", "wall time", ours.wall / theirs.wall, limit, detail)
        return ours

    def nothing_and_some(self):
        root = self.tree(self.options.files)
        name = "sites"
        for folder in ("store-sites", "store-whole", "state", "tmp"):
            remove(self.path(folder))
        whole, inc = self.config(root, "whole", "desc_files"), self.config(root, name)
        clear = lambda store: (lambda: remove(self.path(store)))
        done = in_turn({
            "whole": (clear("store-whole"), whole, self.env),
            "inc": (clear("store-sites"), inc, self.env),
        }, self.options.rounds)
        detail = f"{done['inc'].wall:.2f} s against {done['whole'].wall:.2f} s"
        self.row("first full copy against `desc_files`", "wall time", done["inc"].wall / done["whole"].wall, None, detail)
        self.prepare_peers(root)
        ours = self.compare("nothing changed, warm", root, name, {"tar": 0.5, "restic": 0.5})
        self.row("nothing changed", "artefact", self.newest(name, ".tar.zst") / MIB, 1, "", "{:.3f} MiB")
        self.row("nothing changed", "index", self.newest(name, ".index.zst") / MIB, 32, "", "{:.1f} MiB")
        self.row("nothing changed", "peak memory", ours.peak / MIB, 200, "", "{:.0f} MiB")
        if self.options.cold:
            self.compare("nothing changed, cold", root, name, {"tar": 0.7}, cold=True)
        self.change(root, 0.01)
        self.compare("1 % changed, warm", root, name, {"tar": 0.6, "restic": None})
        self.comes_back(root, name)

    def comes_back(self, root, name):
        """What was measured must also be right."""
        out = self.path("out")
        remove(out)
        conf = self.path(f"{name}.conf")
        run([self.program, "-c", conf, "-q", "restore", name, "--to", out])
        same_tree(root, os.path.join(out, root.lstrip("/")))
        remove(out)

    def growth(self):
        for files in self.options.growth:
            root = self.tree(files)
            name = f"grow-{files}"
            remove(self.path(f"store-{name}"))
            argv = self.config(root, name)
            run(argv, self.env)
            done = in_turn({"ours": (lambda: None, argv, self.env)}, self.options.rounds)["ours"]
            index = self.newest(name, ".index.zst")
            detail = f"{done.wall:.2f} s, CPU {done.cpu:.2f} s, index {index / MIB:.1f} MiB"
            self.row(f"{files:,} files, nothing changed", "µs a file", done.wall / files * 1e6, None, detail, "{:.1f}")
            limit = 200 if files == 1_000_000 else None
            self.row(f"{files:,} files, nothing changed", "peak memory", done.peak / MIB, limit, "", "{:.0f} MiB")

    def print(self):
        print("\n".join(machine(self.work, self.program)))
        print(f"- medians of {self.options.rounds} rounds in turn; tree: {self.options.files:,} files, "
              f"{self.options.files // PER_FOLDER:,} folders")
        print("\n| case | figure | result | limit | detail |\n|---|---|---|---|---|")
        print("\n".join(self.rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="/var/tmp", help="where trees and copies go; some GiB")
    parser.add_argument("--ours", help="the program; by default target/release/nxs-backup")
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="also with empty caches; as root")
    parser.add_argument("--growth", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--keep", action="store_true", help="leaves the trees for the next run")
    bench = Bench(parser.parse_args())
    os.makedirs(bench.work, exist_ok=True)
    try:
        bench.nothing_and_some()
        bench.growth()
    except (Failed, subprocess.CalledProcessError) as error:
        say(f"error: {error}")
        return 1
    finally:
        bench.print()
        if not bench.options.keep:
            shutil.rmtree(bench.work, ignore_errors=True)
    return 3 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
