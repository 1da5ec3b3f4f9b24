"""What a CRM user should see of a call, timed at the telephones and never by the PBX.

A truth file has, for each call:
  linkedid             the PBX's id of the call, to find it in what the PBX says
  direction, origin    in, out, internal;  phone or click-to-call
  caller, callee       who called ("" for a withheld number), and what was dialled
  caller_name          the name that came with the number
  legs                 each ringing of each extension: ring_start, ring_end, answered_at, over_at, and the result:
                       answered, no-answer, busy, declined, cancelled (the caller gave up), elsewhere (another telephone
                       took it), forwarded. Several devices of one extension are one leg. shown: the caller on its display,
                       in order. dialled: it did not ring, it dialled this code to join
  talks                who talked with whom. Hold is inside; a queue, an IVR, ringing, parking, voicemail are no talk
  answered_at, _by     the first talk with a person; answered_outside: it was one outside of the company
  pbx_answered_at      when the IVR, the queue, the voicemail picked up
  disposition          answered, no-answer, busy, declined, cancelled, unavailable, failed, operator-no-answer, transferred
  hangup               by caller, callee, pbx, transfer; and what the PBX calls it, which is often useless
  holds, transfers, parked, pickup, recording, consult, conference, voicemail, merged_into     as named

A consultation that a telephone makes is a call of its own until it merges into the first.
"""

CLIENT, CLIENT2 = "79005550111", "79005550122"       # the customers
MOBILE = "79001112233"                               # of 101's user, reached through the trunk


def r(t):
    return None if t is None else round(t, 2)


def leg(ext, *devices, result=None, dialled=None, answered=None):
    """An extension's share of a call, of one device or several. result is only asked for where the telephone cannot
    know it; dialled: it did not ring, it dialled this code to join; answered: when, if not by its own answer."""
    first = next((c for c in devices if c.t_answer), devices[0])
    if first.t_answer:
        result = "answered"
    elif result is None:
        how, detail = first.end[1], (first.end[2] or "").lower()
        result = {"reject": "declined" if detail.startswith("603") else "busy", "302": "forwarded"}.get(how) or (
            "elsewhere" if "elsewhere" in detail or "cause=26" in detail else "cancelled")
    rings = [c.t_ring for c in devices if c.t_ring]
    rang = min(rings) if rings and not dialled else None
    over = max(c.t_end for c in devices)
    out = {"ext": ext, "ring_start": r(rang), "ring_end": r(first.t_answer or over) if rang else None, "result": result,
           "answered_at": r(first.t_answer), "over_at": r(first.t_end if first.t_answer else over),
           "shown": [s for _, s in first.shown]}
    if len(devices) > 1:
        out["devices"] = len(devices)
    return {**out, "dialled": dialled} if dialled else out


def talk(ext, peer, start, end):
    return {"ext": ext, "peer": peer, "from": r(start), "to": r(end), "seconds": round(end - start, 1)}


async def call(lab, label, direction, c, first, legs=(), talks=(), disposition=None, by=None, nth=0, **more):
    """c is the caller's own call; first is the prefix of its channel, the nth of those; by says who ended it."""
    ch = await lab.channel(first, nth)
    talks = list(talks)
    answered = next(iter(talks), None)
    caller = more.pop("caller", CLIENT)
    outside = answered and not _inside(answered["ext"])
    out = {"label": label, "linkedid": ch["Linkedid"], "direction": direction, "origin": more.pop("origin", "phone"),
           "caller": caller, "callee": more.pop("callee", c.dialled if c else None),
           "started_at": r(more.pop("started", None) or c.t_invite), "ended_at": r(more.pop("ended", None) or c.t_end),
           "legs": list(legs), "answered_at": answered and answered["from"],
           "answered_by": answered["ext"] if answered and not outside else None,
           "talks": talks, "talk_seconds": round(sum(t["seconds"] for t in talks), 1)}
    if outside:
        out["answered_outside"] = answered["ext"]
    out["disposition"] = disposition or ("answered" if talks else "no-answer")
    h = lab.hangup_of(ch["Uniqueid"])
    out["hangup"] = {"by": by, "cause": int(h["Cause"]) if h else None, "text": h["Cause-txt"] if h else None}
    out.update(more)
    return out


def _inside(number):
    return len(number) <= 5


def transfer(kind, by, to, at, result="answered", **more):
    return {"kind": kind, "by": by, "to": to, "at": r(at), "result": result, **more}
