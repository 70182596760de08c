"""Requests by which a participant might try to get past the proxy, and what becomes of them."""

from __future__ import annotations

from fixtures_proxy import post

CALL, CONTROL = "/v1/fleet/get-run", "/v1/control/list-nodes"

# name: request, statuses of the answers. None of them may reach the SuperLink.
REFUSED: dict[str, tuple[bytes, list[int]]] = {
    "control": (post(CONTROL), [404]),
    "start of a run": (post("/v1/control/start-run"), [404]),
    "admission of a node": (post("/v1/control/register-node"), [404]),
    "runtime": (post("/v1/runtime/get-nodes"), [404]),
    "self-registration": (post("/v1/fleet/register-node"), [404]),
    "self-removal": (post("/v1/fleet/unregister-node"), [404]),
    "object pushed": (post("/v1/fleet/push-object"), [404]),
    "object pulled": (post("/v1/fleet/pull-object"), [404]),
    "message confirmed": (post("/v1/fleet/confirm-message-received"), [404]),
    "unknown fleet call": (post("/v1/fleet/list-nodes"), [404]),
    "health": (post("/health", method="GET"), [404]),
    "docs": (post("/docs", method="GET"), [404]),
    "list of the routes": (post("/openapi.json", method="GET"), [404]),
    "root": (post("/"), [404]),
    # -- paths that are read in more than one way
    "dot dot": (post("/v1/fleet/../control/list-nodes"), [404]),
    "dot dot behind a call": (post(f"{CALL}/../../control/list-nodes"), [404]),
    "dot dot back to a call": (post(f"/v1/control/..{CALL[3:]}"), [404]),
    "dot": (post("/v1/./control/list-nodes"), [404]),
    "above the root": (post("/../v1/control/list-nodes"), [400]),
    "encoded dots": (post("/v1/fleet/%2e%2e/control/list-nodes"), [404]),
    "one encoded dot": (post("/v1/fleet/.%2E/control/list-nodes"), [404]),
    "dots encoded twice": (post("/v1/fleet/%252e%252e/control/list-nodes"), [404]),
    "overlong dots": (post("/v1/fleet/%c0%ae%c0%ae/control/list-nodes"), [404]),
    "wide dots": (post("/v1/fleet/%u002e%u002e/control/list-nodes"), [400]),
    "encoded slashes": (post("/v1/fleet%2f..%2fcontrol%2flist-nodes"), [404]),
    "encoded slash in control": (post("/v1%2fcontrol/list-nodes"), [404]),
    "encoded slash in a call": (post("/v1/fleet%2Fget-run"), [404]),
    "encoded letter in control": (post("/v1/%63ontrol/list-nodes"), [404]),
    "encoded letter in a call": (post("/v1/%66leet/get-run"), [404]),
    "backslashes": (post("/v1/fleet/..\\control\\list-nodes"), [404]),
    "encoded backslashes": (post("/v1/fleet/..%5ccontrol%5clist-nodes"), [404]),
    "doubled slashes": (post("//v1//control//list-nodes"), [404]),
    "doubled slash before a call": (post(f"/{CALL}"), [404]),
    "slash behind a call": (post(f"{CALL}/"), [404]),
    "upper case": (post(CONTROL.upper()), [404]),
    "upper case call": (post(CALL.upper()), [404]),
    "mixed case call": (post("/v1/Fleet/get-run"), [404]),
    "query": (post(f"{CALL}?/../../control/list-nodes"), [404]),
    "empty query": (post(f"{CALL}?"), [404]),
    "fragment": (post(f"{CALL}#/../../control/list-nodes"), [404]),
    "parameter": (post(f"{CALL};/../../control/list-nodes"), [404]),
    "line end behind a call": (post(f"{CALL}%0a"), [404]),
    "line in a call": (post(f"{CALL}%0d%0aX:%20y"), [404]),
    "zero byte": (post(f"{CALL}%00{CONTROL}"), [400]),
    "broken encoding": (post(f"{CALL}%zz"), [400]),
    "bytes that are no ASCII": (post("/v1/fleet/get-r\xfcn"), [404]),
    "no leading slash": (post("v1/control/list-nodes"), [400]),
    "very long": (post("/v1/control/" + "a" * 9000), [414]),
    # -- hosts and forms of the target
    "the SuperLink as host": (post(CONTROL, host="Host: 127.0.0.1:8444"), [404]),
    "another host": (post(CONTROL, host="Host: example.org"), [404]),
    "empty host": (post(CONTROL, host="Host:"), [400]),
    "two hosts": (post(CONTROL, "Host: example.org"), [400]),
    "no host": (post(CONTROL, host=""), [400]),
    "absolute": (post(f"https://localhost{CONTROL}"), [404]),
    "absolute to another host": (post(f"https://127.0.0.1:8444{CONTROL}"), [404]),
    "absolute without TLS": (post(f"http://127.0.0.1:8444{CONTROL}"), [404]),
    "absolute with dots": (post("https://localhost/v1/fleet/../control/list-nodes"), [404]),
    "asterisk": (post("*", method="OPTIONS"), [400]),
    "CONNECT to a port": (post("127.0.0.1:8444", method="CONNECT"), [400]),
    "CONNECT to a path": (post(CONTROL, method="CONNECT"), [405]),
    # -- methods and versions
    "GET of a call": (post(CALL, method="GET"), [405]),
    "HEAD of a call": (post(CALL, method="HEAD"), [405]),
    "PUT of a call": (post(CALL, method="PUT"), [405]),
    "DELETE of a call": (post(CALL, method="DELETE"), [405]),
    "OPTIONS of a call": (post(CALL, method="OPTIONS"), [405]),
    "TRACE of a call": (post(CALL, method="TRACE"), [405]),
    "unknown method": (post(CALL, method="PROPFIND"), [405]),
    "lower case method": (post(CALL, method="post"), [400]),
    "HTTP/1.0": (post(CONTROL, version="HTTP/1.0", host=""), [404]),
    "HTTP/0.9": (f"GET {CONTROL}\r\n".encode(), [400]),
    "HTTP/2 by its preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "HTTP/3.0": (post(CONTROL, version="HTTP/3.0"), [505]),
    "two targets": (post(f"{CALL} {CONTROL}"), [400]),
    "tab behind a call": (post(f"{CALL}\t"), [400]),
    # -- framing
    "length and chunks": (post(CALL, "Transfer-Encoding: chunked", body=post(CONTROL)), [400]),
    "two lengths": (post(CALL, "Content-Length: 60", body=post(CONTROL)), [400]),
    "negative length": (post(CALL, "Content-Length: -1"), [400]),
    "unknown coding": (post(CALL, "Transfer-Encoding: xchunked"), [400, 501]),
    "space before a colon": (post(CALL, "Transfer-Encoding : chunked"), [400]),
    "more than the limit": (
        post("/v1/fleet/push-messages", "X: y").replace(b"Length: 0", b"Length: 99999999"),
        [413],
    ),
}

# name: request, what reaches the SuperLink, statuses of the answers.
PASSED: dict[str, tuple[bytes, list[str], list[int]]] = {
    "a second request on the connection": (post(CALL) + post(CONTROL), [CALL], [401, 404]),
    "a request in a body": (post(CALL, body=post(CONTROL)), [CALL], [400]),
    "a request behind chunks": (
        post(CALL).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        + b"0\r\n\r\n"
        + post(CONTROL),
        [CALL],
        [401, 404],
    ),
    "headers that rewrite paths elsewhere": (
        post(CALL, *(f"{name}: {CONTROL}" for name in ("X-Original-URL", "X-Rewrite-URL"))),
        [CALL],
        [401],
    ),
    "a method in a header": (post(CALL, "X-HTTP-Method-Override: GET"), [CALL], [401]),
    "an upgrade to HTTP/2": (
        post(
            CALL, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAAB"
        ),
        [CALL],
        [401],
    ),
    "an upgrade to a WebSocket": (
        post(CALL, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        [CALL],
        [401],
    ),
    "the absolute form of a call": (post(f"https://127.0.0.1:8444{CALL}"), [CALL], [401]),
}
