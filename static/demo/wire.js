import { h, setText } from './dom.js'

// Wire shows the way of an event, from the telephones over the PBX link and Ringcast to the CRM pages, lets a
// pulse run along it with each event, and cuts and restores the link.
export class Wire {
  #act
  #cut = false
  #seq = 0
  #state = h('span', { class: 'linkstate', role: 'status' })
  #switch = h('button', { type: 'button', class: 'cut', onclick: () => this.#act(this.#cut ? 'restore' : 'cut') })

  constructor ({ element, act }) {
    this.#act = act
    this.element = element
    element.append(
      h('span', { class: 'station' }, h('b', {}, 'Telephone system'), h('small', {}, 'below')),
      h('span', { class: 'cable link' }), this.#state, this.#switch,
      h('span', { class: 'cable link' }),
      h('span', { class: 'station hub' }, h('b', {}, 'Ringcast')),
      h('span', { class: 'cable' }),
      h('span', { class: 'station' }, h('b', {}, 'CRM tabs'), h('small', {}, 'above')))
  }

  show ({ link, story }) {
    this.#cut = link.cut
    this.element.dataset.link = link.state
    setText(this.#state, link.cut ? 'PBX link cut' : link.state === 'connected' ? 'PBX link up' : 'Connecting…')
    setText(this.#switch, link.cut ? 'Restore the link' : 'Cut the PBX link')
    const last = story.at(-1)
    if (this.#seq && last && last.seq > this.#seq && !last.unheard && last.call) this.#pulse()
    this.#seq = last?.seq ?? 1
  }

  #pulse () {
    for (const cable of this.element.querySelectorAll('.cable')) {
      const dot = h('i', { class: 'pulse', onanimationend: () => dot.remove() })
      cable.append(dot)
    }
  }
}
