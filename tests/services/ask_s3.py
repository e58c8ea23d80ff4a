#!/usr/bin/env python3
"""One signed request to an S3 server: HOST:PORT KEY SECRET METHOD PATH[?QUERY] [BODY].

Prints the answer, of HEAD the headers; exits 1 unless it is a success. An independent witness beside our own client.
"""
import datetime
import hashlib
import hmac
import http.client
import sys
import urllib.parse

host, key, secret, method, target = sys.argv[1:6]
body = sys.argv[6].encode() if len(sys.argv) > 6 else b""
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = now[:8] + "/us-east-1/s3/aws4_request"
digest = hashlib.sha256(body).hexdigest()
path, _, query = target.partition("?")
pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
query = "&".join(f"{urllib.parse.quote(k, '')}={urllib.parse.quote(v, '')}" for k, v in pairs)
path = urllib.parse.quote(path)
names = "host;x-amz-content-sha256;x-amz-date"
heads = f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n"
request = "\n".join([method, path, query, heads, names, digest])
text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
sign = ("AWS4" + secret).encode()
for word in scope.split("/") + [text]:
    sign = hmac.new(sign, word.encode(), hashlib.sha256).digest()
authorization = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={sign.hex()}"
connection = http.client.HTTPConnection(host, timeout=30)
connection.request(method, f"{path}?{query}" if query else path, body, {
    "x-amz-content-sha256": digest, "x-amz-date": now, "Authorization": authorization})
answer = connection.getresponse()
text = str(answer.headers).lower() if method == "HEAD" else answer.read().decode(errors="replace")
sys.stdout.write(text)
sys.exit(0 if answer.status < 300 else 1)
