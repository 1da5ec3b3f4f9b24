import { h } from './dom.js'

// Cord draws the line between a desk telephone and the outside world.
export class Cord {
  #extension

  constructor ({ extension }) {
    this.#extension = extension
    this.element = h('div', { class: 'cord', 'aria-hidden': 'true' }, h('i'))
  }

  show ({ phones, outside }) {
    const phone = phones.find(p => p.extension === this.#extension)
    const joined = phone?.call && !phone.clicked && outside.some(o => o.call === phone.call)
    this.element.dataset.state = joined ? phone.state : 'idle'
  }
}
