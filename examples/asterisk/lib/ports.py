"""Fails, naming it, if one of the ports is taken.   ports.py tcp:127.0.0.1:5038 udp:127.0.0.1:5060"""
import socket, sys

for arg in sys.argv[1:]:
    kind, host, port = arg.split(":")
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == "tcp")
    try:
        s.bind((host, int(port)))
    except OSError as e:
        sys.exit("%s port %s on %s is taken (%s): choose another, see README.md, Settings" % (kind.upper(), port, host, e.strerror))
    s.close()
