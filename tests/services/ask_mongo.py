#!/usr/bin/env python3
"""Fills and reads the server of mongo.sh, for tests.

ask_mongo.py PORT fill DB | digest DB | drop DB | big DB COLLECTION DOCUMENTS | make DB COLLECTION
             | make_each COLLECTION DB… | drop_each '' DB…
"""
import datetime
import hashlib
import sys

import bson
import pymongo
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

port, verb, database, *rest = sys.argv[1:]
client = pymongo.MongoClient(
    f'mongodb://127.0.0.1:{int(port) + 1}/', serverSelectionTimeoutMS=20000, directConnection=True)
db = client[database or 'none']


def fill():
    db['odd'].insert_many([
        {'_id': 1, 'code': 'a', 'text': 'äöü 漢字 \x00 " \' $ {}', 'null': None, 'empty': {}, 'list': [1, [2, []]]},
        {'_id': ObjectId('0123456789abcdef01234567'), 'code': 'b', 'bin': Binary(bytes(range(256))),
         'long': Int64(-2**63), 'double': -1e300, 'dec': Decimal128('1.10'),
         'when': datetime.datetime(1969, 12, 31, 23, 59, 59, 999000),
         'regex': Regex('^a.*', 'i'), 'stamp': Timestamp(1, 2), 'true': True},
        {'_id': 'ä', 'code': None, 'deep': {'a': {'b': {'c': ['d'] * 50}}}},
    ])
    db['odd'].create_index('code', unique=True, name='code of ä')
    db['odd'].create_index([('deep.a', 1), ('long', -1)])
    db['name with blanks.and-dots'].insert_many({'_id': n, 'n': n * n} for n in range(2500))
    db.create_collection('empty')


def digest():
    for name in sorted(db.list_collection_names()):
        rows = sorted(bson.encode(row) for row in db[name].find())
        total = hashlib.sha256(b''.join(rows)).hexdigest()
        indexes = sorted(str((one['name'], list(one['key'].items()), one.get('unique', False)))
                         for one in db[name].list_indexes())
        print(name, len(rows), total, indexes)


if verb == 'fill':
    fill()
elif verb == 'digest':
    digest()
elif verb == 'drop':
    client.drop_database(database)
elif verb == 'big':
    db[rest[0]].insert_many(
        {'_id': n, 'text': hashlib.sha256(str(n).encode()).hexdigest() * 8} for n in range(int(rest[1])))
elif verb == 'make':
    db[rest[0]].insert_one({'_id': 1})
elif verb == 'make_each':
    for name in rest:
        client[name][database].insert_one({'_id': 1})
elif verb == 'drop_each':
    for name in rest:
        client.drop_database(name)
