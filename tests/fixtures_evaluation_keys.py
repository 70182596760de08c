"""The parts of a server that deal with evaluation keys, with a clock that tests set."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from fixtures_server import PARAMS, frame_of, honest, open_tenants, request_for

from server_app.config import Limits
from server_app.database import Database
from server_app.evaluation_keys import EvaluationKeys
from server_app.home import create_home
from server_app.invitations import invite
from server_app.key_activation import KeyActivation
from server_app.key_collection import KeyCollection
from server_app.key_files import KeyFiles, Upload
from server_app.key_records import KeyRecords
from server_app.key_uploads import Announcement, KeyUploads
from server_app.layout import Layout
from server_app.quotas import Quotas

SIZE = 4096
FRAME = frame_of(SIZE)


class Server:
    """The parts that deal with keys, and a clock that tests set."""

    def __init__(self, home, **limits):
        self.now = 1000.0
        layout = Layout(home)
        self.files = KeyFiles(layout.evaluation_keys)
        records = KeyRecords(Database.open(layout.database), self.files, lambda: self.now)
        self.limits = replace(Limits(), **limits)
        self.uploads = KeyUploads(records, self.limits)
        self.keys = EvaluationKeys(records, self.limits)
        self.activation = KeyActivation(records, self.limits)
        self.quotas = Quotas(records.database, self.limits)
        self.collection = KeyCollection(records, self.limits)

    def begin(self, key, tenant="clinic"):
        return self.uploads.begin(tenant, key.announced, FRAME)

    def write(self, key, offset, data, tenant="clinic"):
        return self.uploads.write(self.uploads.resume(tenant, key.id), offset, data)

    def stage(self, key, tenant="clinic"):
        self.begin(key, tenant)
        for offset in range(0, SIZE, 1000):
            self.write(key, offset, key.content[offset : offset + 1000], tenant)
        return self.uploads.commit(tenant, key.id, lambda params_id: FRAME)

    def activate(self, key, replaces=None, grace=None, tenant="clinic"):
        before = replaces.id if replaces else ""
        return self.activation.activate(tenant, key.id, before, grace)

    def usable(self, key, tenant="clinic", params_id=PARAMS, prove=False):
        return self.keys.usable(tenant, key.id, params_id, prove=prove)

    def state(self, key, tenant="clinic"):
        return self.keys.status(tenant, key.id).state


class Key:
    def __init__(self, content=None, params_id=PARAMS):
        self.content = honest(SIZE) if content is None else content
        salt = os.urandom(16)
        self.id = hashlib.sha256(salt + self.content).hexdigest()
        self.announced = Announcement(self.id, params_id, salt, SIZE)
        self.upload = Upload("clinic", self.id, salt, SIZE)


def home_with_tenants(home):
    """A home with the tenants ``clinic`` and ``rival``; copy it before use."""
    create_home(home, [])
    for name in ("clinic", "rival"):
        open_tenants(home).enroll(invite(home, name).token, request_for(), "")
    return home
