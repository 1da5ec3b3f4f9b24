import { h } from './dom.js'

// Caller chooses who calls from outside, and whom.
export class Caller {
  #act
  #number = ''

  constructor ({ users, callers, act }) {
    this.#act = act
    const choices = [...callers, { number: '', name: 'Withheld number' }]
    this.#number = choices[0].number
    const extensions = users.map(u => u.extension)
    this.element = h('div', { class: 'caller' },
      h('h2', {}, 'Call from outside'),
      h('fieldset', {}, h('legend', {}, 'Who calls'), ...choices.map((c, i) => this.#choice(c, i === 0))),
      h('div', { class: 'rings' },
        ...users.map(u => this.#ring(`Ring ${u.extension}`, u.name, [u.extension])),
        this.#ring('Ring both', 'a ring group', extensions)))
  }

  #choice ({ number, name, known }, checked) {
    return h('label', { class: 'choice' },
      h('input', { type: 'radio', name: 'caller', value: number, checked, onchange: () => { this.#number = number } }),
      h('span', { class: 'face', 'aria-hidden': 'true' }, name && number ? name.slice(0, 1) : '?'),
      h('span', {},
        h('b', {}, name || 'Unknown caller'),
        number
          ? h('small', {}, h('span', {}, number), h('span', { class: 'known' }, known ? 'in the CRM' : 'not in the CRM'))
          : h('small', {}, 'the caller shows no number')))
  }

  #ring (title, subtitle, extensions) {
    return h('button', {
      type: 'button', class: 'ringer', 'data-ring': extensions.join(' '), onclick: () => this.#act('ring', { extensions, number: this.#number })
    }, h('b', {}, title), h('small', {}, subtitle))
  }
}
