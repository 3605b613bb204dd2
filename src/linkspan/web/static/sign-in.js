// The secret of an invitation stands behind the # of its link: put it into the form, and out of the address.
const field = document.getElementById("invitation");

function take() {
  const secret = location.hash.slice(1);
  if (!secret.startsWith("lsk_invite_")) return false;
  field.value = secret;
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("button.primary").focus();
  return true;
}

if (!take()) field.focus();
addEventListener("hashchange", take);
