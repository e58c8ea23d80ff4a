#!/usr/bin/env python3
"""A stub, no real service: what AWS runs beside a store to hand out keys.

aws_stub.py FOLDER KEY SECRET TOKEN: the metadata of an instance, the one of a container, and, by
HTTPS through CONNECT as a proxy sees it, STS for web identities. All give out the keys that it was
told. Prints its port; FOLDER gets the CA of its certificate, `ca.crt`. Goes with its standard input.
"""
import datetime
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse

folder, key, secret, token = sys.argv[1:5]
until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
keys = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": until}
host = "sts.amazonaws.com"


def openssl(*words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def certificate():
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-days", "3", "-subj", "/CN=stub CA", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", *new, "-subj", f"/CN={host}", "-keyout", "sts.key", "-out", "sts.csr")
    with open(os.path.join(folder, "ext"), "w", encoding="ascii") as out:
        out.write(f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "sts.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "3", "-extfile", "ext", "-out", "sts.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "sts.crt"), os.path.join(folder, "sts.key"))
    return context


class Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        known = self.path == "/latest/api/token" and "x-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self.say(200 if known else 404, "session" if known else "")

    def do_GET(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.path == "/container":
            let_in = self.headers.get("Authorization") == "of the container"
        else:
            let_in = self.path.startswith(roles) and self.headers.get("x-aws-ec2-metadata-token") == "session"
        if not let_in:
            self.say(403, "")
        elif self.path == roles:
            self.say(200, "backup")
        else:
            self.say(200, json.dumps({"Code": "Success", **keys}))

    def do_CONNECT(self):
        if self.path != host + ":443":
            return self.say(403, "")
        self.send_response(200)
        self.end_headers()
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        return self.handle_one_request()

    def do_POST(self):
        asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        wanted = {"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "who I am", "RoleArn": "arn:aws:iam::1:role/backup"}
        if not isinstance(self.connection, ssl.SSLSocket) or any(asked.get(name) != [value] for name, value in wanted.items()):
            return self.say(403, "")
        words = {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token, "Expiration": until}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in words.items())
        inner = f"<Credentials>{inner}</Credentials>"
        return self.say(200, f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>{inner}"
                             "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")

    def log_message(self, *_):
        pass


context = certificate()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
