"""Waits until Asterisk takes calls.   ready.py PID SECONDS   (fails when it ends before that)"""
import os, socket, sys, time

PORT = int(os.environ.get("ASTERISK_LAB_AMI_PORT", 5038))


def booted():
    with socket.create_connection(("127.0.0.1", PORT), 2) as s:
        s.sendall(b"Action: Login\r\nUsername: lab\r\nSecret: lab-secret\r\n\r\n")
        got = b""
        while b"FullyBooted" not in got:
            data = s.recv(4096)
            if not data:
                raise OSError("it hung up: %r" % got)
            got += data


def main(pid, seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            return booted()
        except OSError as e:
            problem = e
        if not os.path.exists("/proc/%s" % pid):
            sys.exit("Asterisk ended")
        if time.monotonic() > end:
            sys.exit("Asterisk does not answer: %s" % problem)
        time.sleep(0.05)


main(sys.argv[1], float(sys.argv[2]))
