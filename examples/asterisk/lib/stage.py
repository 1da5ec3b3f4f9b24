"""What scenarios are written with."""
import asyncio, importlib, os, pkgutil, time
import pbx
from desk import pause
from truth import CLIENT, CLIENT2, MOBILE, call, leg, r, talk, transfer

__all__ = ["asyncio", "os", "time", "pbx", "pause", "CLIENT", "CLIENT2", "MOBILE", "call", "leg", "r", "talk", "transfer",
           "scenario", "client_calls", "settle", "talking", "inbound", "handed_on"]
SCENARIOS = {}


def scenario(f):
    """Registers a scenario: a function of a Lab that plays calls and returns the truth about them."""
    SCENARIOS[f.__name__.replace("_", "-")] = f
    return f


def load():
    """All scenarios by name, in the order of their files."""
    import scenarios
    for m in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda m: m.name):
        importlib.import_module("scenarios." + m.name)
    return SCENARIOS


async def client_calls(lab, number, caller=CLIENT, name=None):
    return await lab.trunk.dial(number, caller, name)


async def settle(*calls):
    """Waits until these calls are over at the telephones, and a moment for Asterisk to say so."""
    for c in calls:
        await c.until("ended", 40)
    await asyncio.sleep(0.2)


async def handed_on(*calls):
    """The user of a telephone that has handed its call on: when it says what came of that, or after a second, he hangs up."""
    for c in calls:
        try:
            await c.until(lambda: c.refer_result or c.t_end, 1)
        except TimeoutError:
            pass
        if not c.t_end:
            await c.bye()


async def talking(lab, number="5550101", wait=1, talk_for=2):
    """A customer calls and talks with 101."""
    c = await client_calls(lab, number)
    a = await lab.p101.incoming()
    await pause(wait)
    a.answer()
    await c.until("up")
    await pause(talk_for)
    return c, a


async def inbound(lab, c, legs, talks=(), **more):
    """The truth of the only call, from outside."""
    return await call(lab, "A", "in", c, "PJSIP/trunk-", legs, talks, **more)
