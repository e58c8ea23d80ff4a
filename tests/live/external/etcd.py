#!/usr/bin/env python3
"""Takes a snapshot of etcd, packs it, and answers where it is: the example of the article."""
import json
import os
import subprocess
import sys
import tarfile

SNAPSHOT = os.environ["SNAPSHOT"]
COMMAND = "ETCDCTL_API=3 etcdctl --cacert=%s --endpoints '%s' snapshot save %s" % (
    os.environ["ETCD_CA"],
    os.environ["ETCD"],
    SNAPSHOT,
)


def archive(path):
    packed = "%s.tar" % path
    with tarfile.open(packed, "w:") as tar:
        tar.add(path, arcname=os.path.basename(path))
        os.unlink(path)
    return packed


def main():
    done = subprocess.run(
        [COMMAND], shell=True, executable="/bin/bash", capture_output=True, text=True
    )
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        answer = {
            "full_path": archive(SNAPSHOT),
            "basename": "etcd",
            "extension": "tar",
            "gzip": False,
        }
        print(json.dumps(answer))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
