import { clock, h, setText, shape } from './dom.js'

const KEYS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '0', '⌫']
const HANDSET = 'M12 4h20a9 9 0 0 1 9 9v30a9 9 0 0 1-7 8.800c-3 24-3 52.400 0 76.400a9 9 0 0 1 7 8.800v30a9 9 0 0 1-9 9H12a9 9 0 0 1-9-9V13a9 9 0 0 1 9-9z'

// DeskPhone draws the telephone of one extension, with all its keys.
export class DeskPhone {
  #extension
  #colleague
  #pbx
  #words
  #act
  #phone
  #field
  #line = h('div', { class: 'line', 'aria-live': 'polite' })
  #name = h('div', { class: 'name' })
  #number = h('div', { class: 'number' })
  #time = h('div', { class: 'time' })
  #green = this.#key('green', () => this.#answerOrCall())
  #hold = this.#key('amber', () => this.#do(this.#phone.state === 'held' ? 'unhold' : 'hold'))
  #pass = this.#key('plain', () => this.#do('transfer', { to: this.#colleague }))
  #red = this.#key('red', () => this.#do('hangup'))

  // colleague is the extension that this telephone hands calls to, if there is one.
  constructor ({ user, colleague, pbx, words, act }) {
    this.#extension = user.extension
    this.#colleague = colleague
    this.#pbx = pbx
    this.#words = words
    this.#act = act
    this.#field = h('input', {
      type: 'tel', placeholder: 'Dial a number', autocomplete: 'off', maxlength: '24', 'aria-label': `Number to dial from ${user.extension}`,
      oninput: () => this.#paint()
    })
    setText(this.#pass, colleague ? `To ${colleague}` : 'Transfer')
    this.element = h('form', {
      class: 'deskphone', 'data-phone': user.extension, 'aria-label': `Telephone ${user.extension}, ${user.name}`,
      onsubmit: event => { event.preventDefault(); this.#answerOrCall() }
    },
    h('div', { class: 'cradle' }, h('span', { class: 'handset' }, shape('', '0 0 44 180', HANDSET))),
    h('div', { class: 'body' },
      h('div', { class: 'plate' }, h('b', {}, user.extension), h('span', {}, user.name), h('i', { class: 'lamp', 'aria-hidden': 'true' })),
      h('div', { class: 'screen' }, this.#line, this.#name, this.#number, this.#field, this.#time),
      h('div', { class: 'keypad' }, ...KEYS.map(key => h('button', {
        type: 'button', tabIndex: -1, 'aria-label': key === '⌫' ? 'Delete' : key, onclick: () => this.#press(key)
      }, key))),
      h('div', { class: 'keys' }, this.#green, this.#hold, this.#pass, this.#red)))
  }

  show ({ phones }) {
    this.#phone = phones.find(p => p.extension === this.#extension)
    this.#paint()
    this.tick()
  }

  tick () {
    const { state, since } = this.#phone ?? {}
    setText(this.#time, state === 'talking' || state === 'held' ? clock(this.#pbx.since(since)) : '')
  }

  #key (kind, onclick) {
    return h('button', { type: 'button', class: `key ${kind}`, 'data-key': kind, disabled: true, onclick })
  }

  #paint () {
    if (!this.#phone) return
    const { registered, state, peer, clicked, muted } = this.#phone
    const idle = state === 'idle'
    const talks = state === 'talking' || state === 'held'
    this.element.dataset.state = registered ? state : 'off'
    this.element.dataset.clicked = clicked
    setText(this.#line, this.#title(registered, state, clicked, muted))
    setText(this.#name, idle ? '' : this.#words.name(peer))
    setText(this.#number, idle ? '' : this.#words.number(peer))
    this.#field.hidden = !idle
    this.#field.disabled = !registered
    setText(this.#green, idle ? 'Call' : 'Answer')
    setText(this.#hold, state === 'held' ? 'Resume' : 'Hold')
    setText(this.#red, state === 'ringing' ? 'Decline' : 'Hang up')
    this.#green.disabled = idle ? !registered || !this.#field.value.trim() : state !== 'ringing'
    this.#hold.disabled = !talks
    this.#pass.disabled = !talks || !this.#colleague || this.#words.name(peer) === this.#words.user(this.#colleague)
    this.#red.disabled = idle
  }

  #title (registered, state, clicked, muted) {
    if (!registered) return 'Not connected'
    if (muted) return 'Muted'
    if (clicked) return 'Pick up to call'
    return { idle: 'Ready', ringing: 'Incoming call', calling: 'Calling…', talking: 'In a call', held: 'On hold' }[state]
  }

  #press (key) {
    if (this.#phone?.state !== 'idle') return
    this.#field.value = key === '⌫' ? this.#field.value.slice(0, -1) : this.#field.value + key
    this.#paint()
  }

  async #answerOrCall () {
    if (this.#phone?.state === 'ringing') return this.#do('answer')
    const to = this.#field.value.trim()
    if (this.#phone?.state === 'idle' && to && await this.#do('dial', { to })) this.#field.value = ''
  }

  #do (action, fields) {
    return this.#act(action, { extension: this.#extension, ...fields })
  }
}
