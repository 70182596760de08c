from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("token", "csr_pem", "participant_key")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_KEY_FIELD_NUMBER: _ClassVar[int]
    token: str
    csr_pem: bytes
    participant_key: str
    def __init__(self, token: _Optional[str] = ..., csr_pem: _Optional[bytes] = ..., participant_key: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("tenant", "certificate_pem")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_PEM_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    certificate_pem: bytes
    def __init__(self, tenant: _Optional[str] = ..., certificate_pem: _Optional[bytes] = ...) -> None: ...
