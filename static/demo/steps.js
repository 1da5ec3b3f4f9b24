import { h } from './dom.js'

// Steps names what to try and ticks off what was done.
export class Steps {
  #steps
  #seq = 0

  constructor ({ element, users }) {
    const [anna, boris] = users.map(u => u.name)
    const event = test => ({ story }) => story.some(line => line.seq > this.#seq && test(line))
    this.#steps = [
      ['Ring both', 'A card in both windows', event(l => l.what === 'call.dial' && l.direction === 'inbound' && l.extensions.length > 1)],
      [`Answer on ${users[0].extension}`, `${boris}’s card closes`, event(l => l.what === 'call.bridge' && l.direction === 'inbound')],
      ['Hang up', `${anna} notes the result`, event(l => l.what === 'call.hangup' && l.cause === 'normal')],
      ['Click to call', 'Any number in a CRM', event(l => l.clicked)],
      ['Cut the link mid-call', 'Restore: all comes right', event(l => l.what === 'link.restore')]
    ].map(([title, text, done], i) => ({
      done,
      element: h('li', { class: 'step' }, h('span', { class: 'mark', 'aria-hidden': 'true' }, String(i + 1)),
        h('span', {}, h('b', {}, title), h('small', {}, text)))
    }))
    element.append(...this.#steps.map(s => s.element))
    this.#mark()
  }

  show (state) {
    for (const step of this.#steps) {
      if (!step.finished && step.done(state)) step.finished = true
    }
    this.#seq = state.story.at(-1)?.seq ?? 0
    this.#mark()
  }

  #mark () {
    const next = this.#steps.find(s => !s.finished)
    for (const step of this.#steps) {
      step.element.classList.toggle('done', Boolean(step.finished))
      if (step === next) step.element.setAttribute('aria-current', 'step')
      else step.element.removeAttribute('aria-current')
    }
  }
}
