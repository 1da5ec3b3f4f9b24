import { clock, h, setText, shape } from './dom.js'

const TUBE = 'M4.600 2.500c.500-.300 1.200-.100 1.500.400l1 1.900c.300.500.100 1.100-.300 1.500l-.900.800c.700 1.500 1.600 2.400 3.100 3.100l.800-.900c.400-.400 1-.600 1.500-.300l1.900 1c.500.300.700 1 .400 1.500-.700 1.300-1.900 1.900-3.300 1.500C6.600 11.900 4.100 9.400 3 5.800c-.400-1.400.300-2.600 1.600-3.300z'
const STATES = { calling: 'Calling the office…', ringing: 'The office is calling', talking: 'Talking', held: 'On hold: music plays' }

// Mobile is the telephone of the outside world: a card for each call that an outside party is in.
export class Mobile {
  #pbx
  #words
  #act
  #cards = new Map() // by call
  #calls = h('div', { class: 'calls' })
  #idle = h('p', { class: 'nothing' })
  #time = h('span')

  constructor ({ pbx, words, act }) {
    this.#pbx = pbx
    this.#words = words
    this.#act = act
    this.element = h('div', { class: 'mobile', 'aria-label': 'The outside telephone', role: 'group' },
      h('div', { class: 'status', 'aria-hidden': 'true' }, this.#time, h('i', { class: 'island' }), h('i', { class: 'battery' })),
      this.#calls, this.#idle)
  }

  show ({ outside, story }) {
    for (const [call, card] of this.#cards) {
      if (outside.some(o => o.call === call)) continue
      card.element.remove()
      this.#cards.delete(call)
    }
    for (const party of outside) {
      if (!this.#cards.has(party.call)) this.#add(party.call)
      this.#cards.get(party.call).show(party)
    }
    this.element.dataset.calls = outside.length
    const last = story.findLast(line => line.what === 'call.hangup' && !line.extensions && line.direction !== 'internal')
    setText(this.#idle, last ? this.#words.end(last.cause) : 'Choose who calls, and ring')
    this.#idle.hidden = outside.length > 0
    this.tick()
  }

  tick () {
    setText(this.#time, new Date().toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }))
    for (const card of this.#cards.values()) card.tick()
  }

  #add (call) {
    const card = new MobileCall({ call, pbx: this.#pbx, words: this.#words, act: this.#act })
    this.#cards.set(call, card)
    this.#calls.append(card.element)
  }
}

// MobileCall is the card of one call.
class MobileCall {
  #pbx
  #words
  #party
  #name = h('b')
  #number = h('span', { class: 'number' })
  #state = h('span', { class: 'state' })
  #answer
  #hangup

  constructor ({ call, pbx, words, act }) {
    this.#pbx = pbx
    this.#words = words
    this.#answer = h('button', {
      type: 'button', class: 'round green', title: 'Answer', 'aria-label': 'The outside party answers', onclick: () => act('outside_answer', { call })
    }, shape('tube', '0 0 16 16', TUBE))
    this.#hangup = h('button', {
      type: 'button', class: 'round red', title: 'Hang up', 'aria-label': 'The outside party hangs up', onclick: () => act('outside_hangup', { call })
    }, shape('tube', '0 0 16 16', TUBE))
    this.element = h('div', { class: 'call', 'data-call': call },
      h('span', { class: 'face', 'aria-hidden': 'true' }), this.#name, this.#number, this.#state,
      h('div', { class: 'buttons' }, this.#hangup, this.#answer))
  }

  show (party) {
    this.#party = party
    this.element.dataset.state = party.state
    const name = party.name || this.#words.name(party.number)
    setText(this.element.firstChild, name ? name.slice(0, 1) : '?')
    setText(this.#name, name || (party.number ? 'Unknown' : 'Withheld'))
    setText(this.#number, party.number ? this.#words.number(party.number) : 'shows no number')
    this.#answer.hidden = party.state !== 'ringing'
  }

  tick () {
    const { state, since, answers_at: answersAt } = this.#party
    let text = STATES[state]
    if (state === 'talking') text += ` ${clock(this.#pbx.since(since))}`
    if (answersAt) text += `, answers in ${Math.max(0, Math.ceil(-this.#pbx.since(answersAt) / 1000))} s`
    setText(this.#state, text)
  }
}
