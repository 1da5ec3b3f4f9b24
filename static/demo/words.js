// Words says what happens at the telephones, with the names of those who sit at them.

const ENDS = {
  normal: 'The call is over',
  no_answer: 'Nobody answered',
  busy: 'Busy',
  cancelled: 'Given up before the answer',
  rejected: 'Declined',
  failed: 'Could not be reached'
}

// key is the same for all ways of writing a number.
const key = number => number.replace(/\D/g, '').replace(/^8(?=\d{10}$)/, '7')

export class Words {
  #users
  #people = new Map() // key of a number → {name, number}

  constructor ({ users, callers }) {
    this.#users = users
    for (const { name, number } of callers) this.#people.set(key(number), { name, number })
  }

  // meet takes in who has which numbers in the CRM: [{name, phones}].
  meet (people) {
    for (const { name, phones } of people) {
      for (const number of phones) this.#people.set(key(number), { name, number })
    }
  }

  // user is the name at an extension, else the extension.
  user (extension) {
    return this.#users.find(u => u.extension === extension)?.name ?? extension
  }

  // number is written as people write it.
  number (raw) {
    if (!raw) return 'Withheld number'
    const person = this.#people.get(key(raw))
    if (person) return person.number
    return raw.replace(/^(\+7)(\d{3})(\d{3})(\d\d)(\d\d)$/, '$1 $2 $3-$4-$5')
  }

  // name is who has a number: a colleague, somebody of the CRM or a caller of the demo, else ''.
  name (raw) {
    const user = this.#users.find(u => u.extension === raw)
    return user?.name ?? (raw && this.#people.get(key(raw))?.name) ?? ''
  }

  // party is the name, or else the number.
  party (raw) {
    return this.name(raw) || this.number(raw)
  }

  end (cause) {
    return ENDS[cause] ?? 'The call is over'
  }

  // tell puts one line of the story into words, and says of what kind it is: ring, talk, hold, end, link, link back.
  tell ({ what, direction, from, to, extensions = [], cause, target }) {
    const who = extensions.map(e => this.user(e)).join(' and ')
    switch (what) {
      case 'call.dial':
        if (direction === 'inbound') return { kind: 'ring', text: `${this.party(from)} rings ${who}` }
        if (direction === 'internal' && extensions[0] === from) return { kind: 'ring', text: `${who}’s telephone rings, to call ${this.party(to)}` }
        return { kind: 'ring', text: `${this.user(from)} calls ${this.party(to)}` }
      case 'call.bridge':
        if (direction === 'outbound') return { kind: 'talk', text: `${this.party(to)} answers ${who}` }
        return { kind: 'talk', text: `${who} answers` }
      case 'call.hold':
        return { kind: 'hold', text: `${who} puts the call on hold` }
      case 'call.unhold':
        return { kind: 'talk', text: `${who} takes the call back` }
      case 'call.transfer':
        return { kind: 'ring', text: `${who} hands the call to ${this.user(target)}` }
      case 'call.merge':
        return { kind: 'talk', text: 'Two calls become one' }
      case 'call.hangup':
        if (!extensions.length) return { kind: 'end', text: this.end(cause) }
        return { kind: 'end', text: `${who}’s telephone ${this.#legEnd(cause)}` }
      case 'link.cut':
        return { kind: 'link', text: 'The PBX link is cut: cards stay as last heard' }
      case 'link.restore':
        return { kind: 'link back', text: 'The PBX link is back: cards are put right' }
      default:
        return { kind: 'end', text: what }
    }
  }

  #legEnd (cause) {
    switch (cause) {
      case 'elsewhere': return 'stops ringing'
      case 'busy': return 'is engaged'
      case 'rejected': return 'declines'
      default: return 'is not connected'
    }
  }
}
