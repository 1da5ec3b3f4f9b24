import { clock, h, setText, shape } from './dom.js'

const STATES = { idle: 'Free', ringing: 'Ringing', calling: 'Calling', talking: 'Talking', held: 'On hold' }

// CrmWindow frames the CRM page of one user like a browser window and shows what his telephone does.
export class CrmWindow {
  #extension
  #pbx
  #text = h('span')
  #phone

  constructor ({ user, pbx }) {
    this.#extension = user.extension
    this.#pbx = pbx
    const frame = h('iframe', { src: user.crm, title: `The CRM of ${user.name}` })
    const reload = h('button', {
      type: 'button', class: 'reload', title: `Load ${user.name}’s page anew`, 'aria-label': `Load ${user.name}’s page anew`,
      onclick: () => { frame.src = user.crm }
    }, shape('icon', '0 0 16 16', 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3'))
    const address = new URL(user.crm, location.href)
    this.element = h('article', { class: 'window', 'data-window': user.extension, 'data-state': 'idle' },
      h('div', { class: 'chrome' },
        h('span', { class: 'lights', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')),
        reload,
        h('span', { class: 'address' },
          shape('icon', '0 0 16 16', 'M4.5 7.5h7v5.5h-7zM6 7.500V5.500a2 2 0 0 1 4 0v2'),
          `${address.host}${address.pathname}`),
        h('span', { class: 'person' },
          h('span', { class: 'avatar', 'aria-hidden': 'true' }, user.name.slice(0, 1)),
          h('b', {}, user.name),
          h('span', { class: 'extension' }, `ext. ${user.extension}`)),
        h('span', { class: 'chip' }, h('i', { 'aria-hidden': 'true' }), this.#text)),
      h('div', { class: 'page' }, frame))
  }

  show ({ phones }) {
    this.#phone = phones.find(p => p.extension === this.#extension)
    this.element.dataset.state = this.#phone?.registered ? this.#phone.state : 'off'
    this.tick()
  }

  tick () {
    if (!this.#phone) return
    const { registered, state, since } = this.#phone
    const name = registered ? STATES[state] : 'Not connected'
    setText(this.#text, state === 'talking' || state === 'held' ? `${name} ${clock(this.#pbx.since(since))}` : name)
  }
}
