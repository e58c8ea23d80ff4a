#!/usr/bin/env python3
"""A small front that speaks MongoDB's wire protocol, for tests: OP_MSG in, Debian sid's
postgresql-18-documentdb behind it.

mongo_gw.py PORT DSN DIR: the ports and users are those of mongo.sh. The BSON of a command goes to
documentdb's SQL functions as it is, and their BSON goes back; only what belongs to a handshake is
answered here. Loopback only.
"""
import base64
import hashlib
import hmac
import os
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time

import bson
import psycopg
from bson import SON
from bson.raw_bson import RawBSONDocument

PORT, DSN, DIR = int(sys.argv[1]), sys.argv[2], sys.argv[3]
AUTH, OPEN, TLS, SET = range(4)
with open(f'{DIR}/odd_password', encoding='utf8') as file:
    ODD = file.read()
USERS = {('admin', 'svc'): 'svcpw', ('users', 'odd'): ODD, ('admin', 'limited'): 'limitedpw'}
B = 'documentdb_core.bson'
SALT = os.urandom(16)
lock = threading.Lock()  # one PostgreSQL session: any connection can read a cursor of it
pg = psycopg.connect(DSN, autocommit=True)
cursors = {}  # cursor id -> (database, continuation, collection)
STRIP = {
    '$db', 'lsid', '$readPreference', '$clusterTime', 'txnNumber', 'apiVersion', 'apiStrict',
    'writeConcern', 'readConcern', 'comment', 'maxTimeMS', 'noCursorTimeout',
    'bypassEmptyTsReplacement', 'autocommit',
}


def hexed(document):
    raw = document if isinstance(document, bytes) else bson.encode(document)
    return 'BSONHEX' + raw.hex()


def plain(text):
    return bytes.fromhex(text[7:])


def ask(sql, *args):
    with lock, pg.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchone() if cursor.description else None


def spec(command):
    return hexed(SON((key, value) for key, value in command.items() if key not in STRIP))


def ok(**more):
    return bson.encode(SON({**more, 'ok': 1.0}))


def err(code, name, message):
    return bson.encode(SON([('ok', 0.0), ('errmsg', message), ('code', code), ('codeName', name)]))


def first_page(function, database, command, collection):
    page, rest, _, cursor = ask(
        f'SELECT cursorpage, continuation, persistconnection, cursorid '
        f'FROM documentdb_api.{function}(%s, %s::{B})', database, spec(command))
    if rest:
        cursors[cursor] = (database, rest, collection)
    return plain(page)


def more(command):
    cursor = int(command['getMore'])
    if cursor not in cursors:
        return err(43, 'CursorNotFound', f'cursor id {cursor} not found')
    database, rest, collection = cursors[cursor]
    if collection == 'slow':
        time.sleep(5)
    page, rest = ask(f'SELECT cursorpage, continuation FROM documentdb_api.cursor_get_more'
                     f'(%s, %s::{B}, %s::{B})', database, spec(command), rest)
    if rest:
        cursors[cursor] = (database, rest, collection)
    else:
        cursors.pop(cursor, None)
    return plain(page)


def scram(state, command):
    """The server's side of SCRAM-SHA-256 (RFC 5802, 7677)."""
    def mac(key, text):
        return hmac.new(key, text, hashlib.sha256).digest()
    if 'saslStart' in command:
        if command['mechanism'] != 'SCRAM-SHA-256':
            return err(2, 'BadValue', 'only SCRAM-SHA-256')
        state['bare'] = bytes(command['payload']).decode().split(',', 2)[2]
        said = dict(word.split('=', 1) for word in state['bare'].split(','))
        state['user'] = (command['$db'], said['n'])
        state['nonce'] = said['r'] + base64.b64encode(os.urandom(18)).decode()
        salt = base64.b64encode(SALT).decode()
        state['first'] = f"r={state['nonce']},s={salt},i=4096"
        return ok(conversationId=1, done=False, payload=state['first'].encode())
    if state.get('auth'):
        return ok(conversationId=1, done=True, payload=b'')
    final = bytes(command['payload']).decode()
    without, proof = final.rsplit(',p=', 1)
    password = USERS.get(state['user'], '\0').encode()
    salted = hashlib.pbkdf2_hmac('sha256', password, SALT, 4096)
    client, server = mac(salted, b'Client Key'), mac(salted, b'Server Key')
    stored = hashlib.sha256(client).digest()
    message = f"{state['bare']},{state['first']},{without}".encode()
    got = bytes(a ^ b for a, b in zip(base64.b64decode(proof), mac(stored, message)))
    if hashlib.sha256(got).digest() != stored:
        return err(18, 'AuthenticationFailed', 'Authentication failed.')
    state['auth'] = True
    signed = b'v=' + base64.b64encode(mac(server, message))
    return ok(conversationId=1, done=True, payload=signed)


def hello(command, state):
    reply = dict(
        ismaster=True, isWritablePrimary=True, helloOk=True, maxBsonObjectSize=16777216,
        maxMessageSizeBytes=48000000, maxWriteBatchSize=100000, minWireVersion=0,
        maxWireVersion=17, readOnly=False, logicalSessionTimeoutMinutes=30, connectionId=1)
    if 'saslSupportedMechs' in command:
        reply['saslSupportedMechs'] = ['SCRAM-SHA-256']
    if state['port'] == SET:
        me = f'127.0.0.1:{PORT + SET}'
        reply.update(setName='rs0', hosts=[me], primary=me, me=me, setVersion=1)
    return ok(**reply)


READS = {
    'find': 'find_cursor_first_page', 'aggregate': 'aggregate_cursor_first_page',
    'listcollections': 'list_collections_cursor_first_page',
    'listindexes': 'list_indexes_cursor_first_page',
}


def run(command, state):
    name = next(iter(command))
    database, low = command.get('$db', 'admin'), name.lower()
    if low in ('hello', 'ismaster'):
        return hello(command, state)
    if low in ('saslstart', 'saslcontinue'):
        return scram(state, command)
    if state['port'] != OPEN and not state.get('auth') and low not in ('ping', 'buildinfo'):
        return err(13, 'Unauthorized', f'command {name} requires authentication')
    if low in ('ping', 'endsessions', 'killsessions', 'refreshsessions'):
        return ok()
    if low == 'buildinfo':
        return ok(version='6.0.0', versionArray=[6, 0, 0, 0], gitVersion='test', bits=64,
                  maxBsonObjectSize=16777216, modules=[], storageEngines=['documentdb'])
    if low == 'getparameter':
        if command.get('featureCompatibilityVersion'):
            return ok(featureCompatibilityVersion={'version': '6.0'})
        return err(72, 'InvalidOptions', 'no option found to get')
    if low in ('serverstatus', 'hostinfo', 'getcmdlineopts', 'getlog'):
        return ok(version='6.0.0', host='test', process='mongod',
                  storageEngine={'name': 'documentdb'})
    if low == 'connectionstatus':
        return ok(authInfo={'authenticatedUsers': [], 'authenticatedUserRoles': []})
    if low == 'listdatabases':
        return plain(ask(f'SELECT documentdb_api.list_databases(%s::{B})', spec(command))[0])
    if low in READS:
        collection = command[name]
        if collection == 'stuck' and low == 'find':
            time.sleep(600)
        if collection == 'forbidden' and low == 'find' and state.get('user') == ('admin', 'limited'):
            return err(13, 'Unauthorized', f'not authorized on {database} to execute command')
        return first_page(READS[low], database, command, collection)
    if low == 'getmore':
        return more(command)
    if low == 'killcursors':
        for cursor in command['cursors']:
            cursors.pop(int(cursor), None)
        return ok(cursorsKilled=command['cursors'], cursorsNotFound=[], cursorsAlive=[],
                  cursorsUnknown=[])
    return write(low, name, database, command)


def write(low, name, database, command):
    if low in ('insert', 'update', 'delete', 'findandmodify'):
        function = 'find_and_modify' if low == 'findandmodify' else low
        return plain(ask(f'SELECT p_result FROM documentdb_api.{function}(%s, %s::{B})',
                         database, spec(command))[0])
    one = {
        'count': f'SELECT document FROM documentdb_api.count_query(%s, %s::{B})',
        'distinct': f'SELECT document FROM documentdb_api.distinct_query(%s, %s::{B})',
        'create': f'SELECT documentdb_api.create_collection_view(%s, %s::{B})',
        'createindexes':
            f'SELECT documentdb_api_internal.create_indexes_non_concurrently(%s, %s::{B}, true)',
    }
    if low in one:
        return plain(ask(one[low], database, spec(command))[0])
    if low == 'collmod':
        return plain(ask(f'SELECT documentdb_api.coll_mod(%s, %s, %s::{B})', database,
                         command[name], spec(command))[0])
    if low == 'drop':
        if ask('SELECT documentdb_api.drop_collection(%s, %s)', database, command[name])[0]:
            return ok(ns=f'{database}.{command[name]}')
        return err(26, 'NamespaceNotFound', 'ns not found')
    if low == 'dropdatabase':
        ask('SELECT documentdb_api.drop_database(%s)', database)
        return ok(dropped=database)
    if low == 'collstats':
        return plain(ask('SELECT documentdb_api.coll_stats(%s, %s)', database, command[name])[0])
    if low == 'dbstats':
        return plain(ask('SELECT documentdb_api.db_stats(%s)', database)[0])
    return err(59, 'CommandNotFound', f"no such command: '{name}'")


def safely(command, state):
    try:
        return run(command, state)
    except psycopg.Error as error:
        return err(1, 'InternalError', str(error).splitlines()[0])
    except Exception as error:  # pylint: disable=broad-except
        return err(1, 'InternalError', f'{type(error).__name__}: {error}')


def message(body):
    """The command of an OP_MSG, with the documents that came in sequences of their own."""
    end = len(body) - (4 if struct.unpack_from('<I', body)[0] & 1 else 0)
    at, command, sequences = 4, None, []
    while at < end:
        kind, length = body[at], struct.unpack_from('<i', body, at + 1)[0]
        at += 1
        if kind == 0:
            options = bson.CodecOptions(document_class=SON)
            command = bson.decode(body[at:at + length], options)
        else:
            zero = body.index(b'\0', at + 4)
            documents, inner = [], zero + 1
            while inner < at + length:
                size = struct.unpack_from('<i', body, inner)[0]
                documents.append(RawBSONDocument(body[inner:inner + size]))
                inner += size
            sequences.append((body[at + 4:zero].decode(), documents))
        at += length
    for key, documents in sequences:
        command[key] = documents
    return command


class Handler(socketserver.BaseRequestHandler):
    def read(self, length):
        got = b''
        while len(got) < length:
            part = self.request.recv(length - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    def handle(self):
        state = {'port': self.server.number}
        try:
            if state['port'] == TLS:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(f'{DIR}/tls/server.crt', f'{DIR}/tls/server.key')
                self.request = context.wrap_socket(self.request, server_side=True)
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.answer(state):
                pass
        except (EOFError, OSError):
            pass

    def answer(self, state):
        length, request, _, code = struct.unpack('<iiii', self.read(16))
        body = self.read(length - 16)
        if code == 2004:  # OP_QUERY: only for a first hello
            at = body.index(b'\0', 4) + 1 + 8
            size = struct.unpack_from('<i', body, at)[0]
            reply = safely(bson.decode(body[at:at + size]), state)
            out = struct.pack('<iqii', 8, 0, 0, 1) + reply
            self.request.sendall(struct.pack('<iiii', 16 + len(out), 0, request, 1) + out)
            return True
        if code != 2013:
            return False
        reply = safely(message(body), state)
        if not struct.unpack_from('<I', body)[0] & 2:  # else no answer is wanted
            out = struct.pack('<IB', 0, 0) + reply
            self.request.sendall(struct.pack('<iiii', 16 + len(out), 0, request, 2013) + out)
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, number):
        self.number = number
        super().__init__(('127.0.0.1', PORT + number), Handler)


servers = [Server(number) for number in (AUTH, OPEN, TLS, SET)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
