import { clock, h, setText, shape } from './dom.js'

const STATES = { idle: 'Free', ringing: 'Ringing', calling: 'Calling', talking: 'Talking', held: 'On hold' }

// CrmWindow frames the CRM page of one user like a browser window and shows what his telephone does. The page in it
// tells where its user is and whom he sees: meet(people) is handed those.
export class CrmWindow {
  #extension
  #pbx
  #text = h('span')
  #address = h('span', { class: 'address' })
  #stale = h('p', { class: 'stale', role: 'status', hidden: true },
    h('b', {}, 'The link to the telephone system is cut. '), 'Calls here are as they were last heard.')
  #phone

  constructor ({ user, pbx, meet }) {
    this.#extension = user.extension
    this.#pbx = pbx
    const frame = h('iframe', { src: user.crm, title: `The CRM of ${user.name}` })
    const reload = h('button', {
      type: 'button', class: 'reload', title: `Load ${user.name}’s page anew`, 'aria-label': `Load ${user.name}’s page anew`,
      onclick: () => { frame.src = user.crm }
    }, shape('icon', '0 0 16 16', 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3'))
    const { host, origin } = new URL(user.crm, location.href)
    setText(this.#address, host)
    addEventListener('message', event => {
      if (event.source !== frame.contentWindow || event.origin !== origin) return
      const { path, people } = event.data ?? {}
      if (path) setText(this.#address, host + path)
      if (people) meet(people)
    })
    this.element = h('article', { class: 'window', 'data-window': user.extension, 'data-state': 'idle' },
      h('div', { class: 'chrome' },
        h('span', { class: 'lights', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')),
        reload,
        this.#address,
        h('span', { class: 'person' },
          h('span', { class: 'avatar', 'aria-hidden': 'true' }, user.name.slice(0, 1)),
          h('b', {}, user.name),
          h('span', { class: 'extension' }, `ext. ${user.extension}`)),
        h('span', { class: 'chip' }, h('i', { 'aria-hidden': 'true' }), this.#text)),
      this.#stale,
      h('div', { class: 'page' }, frame))
  }

  show ({ phones, link }) {
    this.#stale.hidden = !link.cut
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
