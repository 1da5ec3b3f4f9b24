import { h } from './dom.js'

// Steps names what to try and ticks off what was done. A click on a step presses, for him who looks for it, the button
// that it is about, or the one that leads there, and lights that up.
export class Steps {
  #page
  #steps
  #seq = 0

  constructor ({ element, users, page }) {
    this.#page = page
    const [anna, boris] = users.map(u => u.name)
    const extension = users[0].extension
    const phone = `[data-phone="${extension}"]`
    const talks = ':is([data-state=talking], [data-state=held])'
    const ring = `[data-ring="${users.map(u => u.extension).join(' ')}"]`
    const answer = `${phone}[data-state=ringing] [data-key=green]`
    const hangUp = `${phone}${talks} [data-key=red]`
    const restore = '.wire:not([data-link=connected]) .cut'
    const cut = `body:has([data-phone]${talks}) .cut`

    const event = test => ({ story }) => story.some(line => line.seq > this.#seq && test(line))
    this.#steps = [
      ['Ring both', 'A card in both windows', [ring],
        event(l => l.what === 'call.dial' && l.direction === 'inbound' && l.extensions.length > 1)],
      [`Answer on ${extension}`, `${boris}’s card closes`, [answer, ring],
        event(l => l.what === 'call.bridge' && l.direction === 'inbound')],
      ['Hang up', `${anna} notes the result`, [hangUp, answer, ring],
        event(l => l.what === 'call.hangup' && l.cause === 'normal')],
      ['Click to call', 'Any number in a CRM', [],
        event(l => l.clicked)],
      ['Cut the link mid-call', 'Restore: all comes right', [restore, cut, answer, ring],
        event(l => l.what === 'link.restore')]
    ].map(([title, text, buttons, done], i) => ({
      done,
      element: h('li', { class: 'step' }, h('button', { type: 'button', onclick: () => this.#lead(buttons) },
        h('span', { class: 'mark', 'aria-hidden': 'true' }, String(i + 1)),
        h('span', {}, h('b', {}, title), h('small', {}, text))))
    }))
    element.append(...this.#steps.map(s => s.element))
    this.#mark()
  }

  show (state) {
    for (const step of this.#steps) {
      if (!step.finished && step.done(state)) step.finished = true
    }
    const [rung, answered] = this.#steps
    if (!answered.finished && !state.calls.some(c => c.direction === 'inbound')) rung.finished = false // nobody answered
    this.#seq = state.story.at(-1)?.seq ?? 0
    this.#mark()
  }

  // lead presses the first button that is there; without any it is the CRM pages that are shown.
  #lead (buttons) {
    const button = buttons.map(b => this.#page.querySelector(b)).find(Boolean)
    for (const element of button ? [button] : this.#page.querySelectorAll('.window')) {
      element.animate({ outline: ['5px solid var(--accent)', '5px solid transparent'], outlineOffset: ['2px', '2px'] }, 1200)
    }
    button?.click()
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
