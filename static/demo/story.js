import { h, setText, shape } from './dom.js'

const LINES = 40

// Story tells in plain words what happened, the latest on top.
export class Story {
  #words
  #texts = new Map() // by seq
  #list = h('ol', { 'aria-live': 'polite', 'aria-relevant': 'additions' })

  constructor ({ words }) {
    this.#words = words
    this.element = h('section', { class: 'story', 'aria-label': 'What happens' },
      h('h2', {}, 'What happens'), this.#list, h('p', { class: 'nothing' }, 'Every event of the telephone system shows up here.'))
  }

  show ({ story }) {
    const latest = Math.max(0, ...this.#texts.keys())
    if ((story.at(-1)?.seq ?? 0) < latest) { // another telephone system: it was started anew
      this.#texts.clear()
      this.#list.replaceChildren()
    }
    for (const line of story.slice(-LINES)) {
      const text = this.#texts.get(line.seq)
      if (text) setText(text, this.#words.tell(line).text) // a name may have become known
      else this.#list.prepend(this.#line(line))
    }
    for (const [seq, text] of [...this.#texts].slice(0, -LINES)) {
      text.parentElement.remove()
      this.#texts.delete(seq)
    }
  }

  #line (line) {
    const { kind, text } = this.#words.tell(line)
    const said = h('span', {}, text)
    this.#texts.set(line.seq, said)
    const item = h('li', { class: kind }, h('time', {}, new Date(line.at).toLocaleTimeString('en-GB')), said)
    if (line.unheard) {
      item.classList.add('unheard')
      item.title = 'The PBX link was down: Ringcast did not hear this'
      item.append(shape('icon', '0 0 16 16', 'M6.500 9.500 9.500 6.500M7 4.500 8.500 3a3.200 3.200 0 0 1 4.500 4.500L11.500 9M9 11.500 7.500 13A3.200 3.200 0 0 1 3 8.500L4.500 7M2 2l12 12'))
    }
    return item
  }
}
