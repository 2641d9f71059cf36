// A state in an address: "#saliency?photo=coffee&class=goldfish" names a thing on the page and
// what it is set to. A page's address is so one that can be sent to somebody.

window.stateInAddress = {
  // {name, state} of an address, or null
  read(address = location.href) {
    const [, name, query] = new URL(address).hash.match(/^#([^?]+)\?(.*)$/) ?? [];
    return name ? { name, state: Object.fromEntries(new URLSearchParams(query)) } : null;
  },

  // this page's address with a state; the bar shows it, and Back still leads to the page before
  write(name, state) {
    const address = new URL(location.href);
    address.hash = `${name}?${new URLSearchParams(state)}`;
    history.replaceState(history.state, "", address);
    return address.href;
  },

  // for Back: what is set when a link within the page is followed goes with what it is followed from
  keep(name, state) {
    history.replaceState({ ...history.state, set: { name, state } }, "");
  },

  // the state that is to be set when this place in the history is reached
  asked() {
    return this.read() ?? history.state?.set;
  },

  // neither the address nor the history holds a state that was left
  leave() {
    if (!this.asked()) return;
    const address = new URL(location.href);
    if (this.read()) address.hash = "";
    const { set, ...rest } = history.state ?? {};
    history.replaceState(rest, "", address);
  },
};
