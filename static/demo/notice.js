// Notice is the one place where the page says that something went wrong.
export class Notice {
  #element
  #kept = ''
  #timer

  constructor ({ element }) {
    this.#element = element
  }

  // say shows a text for a while.
  say (text) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#show(this.#kept), 5000)
    this.#show(text)
  }

  // keep shows a text until another is kept; '' is none.
  keep (text) {
    if (text === this.#kept) return
    this.#kept = text
    clearTimeout(this.#timer)
    this.#show(text)
  }

  #show (text) {
    this.#element.textContent = text
    this.#element.hidden = !text
  }
}
