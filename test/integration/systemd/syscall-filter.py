"""Runs a program under the system call filter and the address families of a unit, as systemd would set them:
`syscall-filter.py NAMES FAMILIES COMMAND...`, both lists with commas. What is not named fails with EPERM.
Exit status 77 when this machine can't do it: another architecture, no header with the numbers, no seccomp."""
import ctypes
import os
import re
import socket
import struct
import sys

ARCHITECTURES = {"x86_64": (0xC000003E, ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"]),
                 "aarch64": (0xC00000B7, ["/usr/include/asm-generic/unistd.h"])}
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, EAFNOSUPPORT = 1, 97
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2


def numbers(header):
    with open(header) as text:
        return {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text.read())}


def program(names, families, audit_arch, table):
    code = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, audit_arch), (RETURN, 0, 0, ERRNO | EPERM), (LOAD, 0, 0, 0)]
    for name in names:
        if name in table and name != "socket":
            code += [(JUMP_EQUAL, 0, 1, table[name]), (RETURN, 0, 0, ALLOW)]
    code += [(JUMP_EQUAL, 1, 0, table["socket"]), (RETURN, 0, 0, ERRNO | EPERM), (LOAD, 0, 0, 16)]
    for family in families:
        code += [(JUMP_EQUAL, 0, 1, getattr(socket, family)), (RETURN, 0, 0, ALLOW)]
    return code + [(RETURN, 0, 0, ERRNO | EAFNOSUPPORT)]


def main():
    architecture = ARCHITECTURES.get(os.uname().machine)
    header = next((path for path in architecture[1] if os.path.exists(path)), None) if architecture else None
    if header is None:
        sys.exit(77)
    code = program(sys.argv[1].split(","), sys.argv[2].split(","), architecture[0], numbers(header))
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    libc = ctypes.CDLL(None, use_errno=True)
    filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(packed)))
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0 or libc.prctl(SET_SECCOMP, FILTER, filter_program, 0, 0) != 0:
        sys.exit(77)
    os.execvp(sys.argv[3], sys.argv[3:])


main()
