// Pbx is the page's end of the pretend telephone system: its state as it changes, and what one can do to it.

export class Pbx {
  #base
  #fetch
  #EventSource
  #now
  #ahead = 0 // of the server's clock, in milliseconds

  constructor ({ base, fetch, EventSource, now }) {
    this.#base = base.replace(/\/$/, '')
    this.#fetch = fetch
    this.#EventSource = EventSource
    this.#now = now
  }

  // watch calls onState with each snapshot, and onReach with whether the server can be reached.
  watch (onState, onReach) {
    const events = new this.#EventSource(`${this.#base}/events`)
    events.onmessage = ({ data }) => {
      const state = JSON.parse(data)
      this.#ahead = Date.parse(state.now) - this.#now()
      onReach(true)
      onState(state)
    }
    events.onerror = () => {
      onReach(false)
      if (events.readyState === this.#EventSource.CLOSED) setTimeout(() => this.watch(onState, onReach), 2000)
    }
  }

  // since is how long ago a time of a snapshot was, by the server's clock; negative: it is still to come.
  since (time) {
    return this.#now() + this.#ahead - Date.parse(time)
  }

  // act does something; it throws an Error that says why that was refused.
  async act (action, fields = {}) {
    const response = await this.#fetch(`${this.#base}/actions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ action, ...fields })
    })
    const answer = await response.json().catch(() => ({}))
    if (!response.ok) throw new Error(answer.detail || `The telephone system answered ${response.status}`)
    return answer
  }
}
