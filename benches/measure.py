"""What benches/run.py measures with: processes, trees, the machine. Standard library only."""

import os
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

# Seconds on the wall; user and system seconds of the process and its children; the largest resident
# set of any one of them, in bytes; bytes read by the process itself through read calls.
Run = namedtuple("Run", "wall cpu peak read stdout")


class Failed(Exception):
    """A command or a check that did not go well; the case is given up, the others go on."""


def say(text):
    """Tells what goes on, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def run(argv, env=None, keep_stdout=False):
    """Runs a command and measures it. Raises Failed with the end of its stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        # The dead child is kept until its counters are read.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        wall = time.perf_counter() - began
        read = bytes_read(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            err.seek(max(0, err.seek(0, os.SEEK_END) - 2000))
            tail = err.read().decode(errors="replace")
            raise Failed(f"{' '.join(argv)}: exit {child.returncode}\n{tail}")
        text = ""
        if keep_stdout:
            out.seek(0)
            text = out.read().decode(errors="replace")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, read, text)


def bytes_read(pid):
    """Bytes that all threads of a process asked read calls for; None where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as lines:
            return int(next(line for line in lines if line.startswith("rchar:")).split()[1])
    except (OSError, StopIteration):
        return None


def shell(pipeline):
    """A pipeline of which every part must succeed."""
    return ["bash", "-c", "set -o pipefail; " + pipeline]


def in_turn(variants, rounds, pick=statistics.median):
    """Runs each of `variants`, a dict of name to (prepare, argv, env), in turn: A B A B.

    Gives name to the Run that `pick` makes of all: medians, or `min` where others use the machine.
    """
    runs = {name: [] for name in variants}
    for number in range(rounds):
        for name, (prepare, argv, env) in variants.items():
            prepare()
            os.sync()
            runs[name].append(run(argv, env))
            say(f"  {name}, round {number + 1}: {runs[name][-1].wall:.2f} s")
    return {name: middle(done, pick) for name, done in runs.items()}


def middle(runs, pick=statistics.median):
    """The median, or what `pick` takes, of each figure; the largest peak."""
    picked = lambda name: pick(getattr(done, name) for done in runs)
    reads = [done.read for done in runs if done.read is not None]
    peak = max(done.peak for done in runs)
    return Run(picked("wall"), picked("cpu"), peak, statistics.median(reads) if reads else None, "")


def remove(path):
    """Removes a file or a tree, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def tree_bytes(path):
    """Bytes of all regular files below a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return total


def same_tree(left, right, whole_seconds=False):
    """Raises Failed unless two trees agree in names, types, modes, owners, times, links and bytes.

    `whole_seconds` is for archives that keep no more of a time, as tar's without --format=pax.
    """
    count = compare(left, right, {}, 10**9 if whole_seconds else 1)
    say(f"  compared {count} entries of {right}")


def compare(left, right, twins, tick):
    a, b = os.lstat(left), os.lstat(right)
    if a.st_mtime_ns // tick != b.st_mtime_ns // tick:
        raise Failed(f"{right}: its time is {b.st_mtime_ns}, should be {a.st_mtime_ns}")
    for what in ("st_mode", "st_uid", "st_gid"):
        if getattr(a, what) != getattr(b, what):
            raise Failed(f"{right}: {what} is {getattr(b, what)}, should be {getattr(a, what)}")
    if stat.S_ISDIR(a.st_mode):
        names, others = sorted(os.listdir(left)), sorted(os.listdir(right))
        if names != others:
            raise Failed(f"{right}: not the same names: {sorted(set(names) ^ set(others))[:5]}")
        pairs = ((os.path.join(left, name), os.path.join(right, name)) for name in names)
        return 1 + sum(compare(one, other, twins, tick) for one, other in pairs)
    if stat.S_ISLNK(a.st_mode):
        if os.readlink(left) != os.readlink(right):
            raise Failed(f"{right}: leads elsewhere")
    elif stat.S_ISREG(a.st_mode):
        if a.st_nlink > 1 and twins.setdefault((a.st_dev, a.st_ino), b.st_ino) != b.st_ino:
            raise Failed(f"{right}: is no hard link any more")
        same_bytes(left, right)
    return 1


def same_bytes(left, right):
    """Raises Failed unless two files hold the same bytes."""
    with open(left, "rb", buffering=0) as one, open(right, "rb", buffering=0) as other:
        while True:
            a, b = one.read(1 << 20), other.read(1 << 20)
            if a != b:
                raise Failed(f"{right}: differs from {left}")
            if not a:
                return


def machine(work, program):
    """What the figures depend on, as lines of markdown."""
    first = lambda argv: subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = os.uname()
    tools = ", ".join([first(["tar", "--version"]), first(["zstd", "--version"]).strip("* "), first(["pigz", "--version"])])
    return [
        f"- machine: {len(os.sched_getaffinity(0))} × {model}, {memory:.0f} GiB, {system.sysname} {system.release} {system.machine}",
        f"- files on {first(['stat', '-f', '-c', '%T', work])}, load before: {os.getloadavg()[0]:.2f}",
        f"- {first([program, '--version']) or program}; {tools}",
        f"- peaks below {run(['true']).peak / 2**20:.0f} MiB cannot be told apart: that is what the script itself lends its children",
    ]
