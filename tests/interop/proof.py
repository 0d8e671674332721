# SPDX-License-Identifier: MIT
"""proof.py INSTANCERD STYLE [SOLVER...]: goes through the dialogue of a proof of work to the instance.

A client that comes back to its instance is asked for nothing. SOLVER gets the challenge as its last argument.
"""
import base64
import hashlib
import itertools
import re
import subprocess
import sys

from pwn import context, remote

context.log_level = "error"
context.timeout = 60

PRIME = 2**1279 - 1

ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""


def number(text):
    return int.from_bytes(base64.b64decode(text), "big")


def solve_sloth(challenge):
    _, difficulty, start = challenge.split(".")
    value = number(start)
    for _ in range(number(difficulty)):
        value = pow(value, 2**1277, PRIME) ^ 1
    return "s." + base64.b64encode(value.to_bytes(160, "big")).decode()


def solve_suffix(prefix, bits):
    for counter in itertools.count():
        suffix = counter.to_bytes(8, "big")
        digest = hashlib.sha256(bytes.fromhex(prefix) + suffix).digest()
        if int.from_bytes(digest, "big") % 2**bits == 0:
            return suffix.hex()


def output_of(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def through_kctf(tube, solve):
    """Whether it was asked."""
    tube.recvuntil(b"== proof-of-work: ")
    if not tube.recvline().startswith(b"enabled"):
        return False
    tube.recvuntil(b"python3 ")
    tube.recvuntil(b" solve ")
    challenge = tube.recvline().decode().strip()
    tube.recvuntil(b"Solution? ")
    tube.sendline(solve(challenge).encode())
    assert tube.recvline() == b"Correct\n"
    return True


def through_redpwn(tube, solve):
    assert tube.recvline() == b"proof of work:\n"
    command = tube.recvline().decode().strip()
    assert command.startswith("curl -sSfL https://pwn.red/pow | sh -s "), command
    tube.recvuntil(b"solution: ")
    tube.sendline(solve(command.split(" ")[-1]).encode())
    return True


def through_hxp(tube, _):
    line = tube.recvline().decode()
    prefix, bits = re.search(r'unhex\("([0-9a-f]{16})" \+ S\)\) ends with (\d+) zero bits', line).groups()
    tube.sendline(solve_suffix(prefix, int(bits)).encode())
    return True


def through_hashcash(tube, _):
    command = tube.recvline().decode().strip()
    assert re.fullmatch(r"hashcash -mb\d+ [0-9a-z]+", command), command
    tube.recvuntil(b"hashcash token: ")
    tube.sendline(output_of(command.split(" ")).split(" ")[-1].encode())
    return True


THROUGH = {"kctf": through_kctf, "redpwn": through_redpwn, "hxp": through_hxp, "hashcash": through_hashcash}


def main(instancerd, style, *solver):
    solve = (lambda challenge: output_of([*solver, challenge])) if solver else solve_sloth
    daemon = subprocess.Popen(
        [instancerd, "exec", "--listen", "127.0.0.1:0", "--auth", "source", "--pow", "50ms", "--pow-style", style,
         "--io", "port", "--", sys.executable, "-c", ECHO, "{port}"], stderr=subprocess.PIPE, text=True)
    try:
        listening = next(line for line in daemon.stderr if ": listening on " in line)
        port = int(listening.rsplit(":", 1)[1])
        with remote("127.0.0.1", port) as tube:
            assert THROUGH[style](tube, solve)
            tube.sendline(b"hello")
            assert tube.recvline() == b"hello\n"
        with remote("127.0.0.1", port) as tube:
            if style == "kctf":
                assert not through_kctf(tube, solve)
            tube.sendline(b"hello again")
            assert tube.recvline() == b"hello again\n"
    finally:
        daemon.terminate()
        daemon.wait(20)


main(*sys.argv[1:])
