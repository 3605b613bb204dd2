// The secret of an invitation stands behind the # of its link: put it into the form, and out of the address.
const field = document.getElementById("invitation");
const secret = location.hash.slice(1);
if (field && secret.startsWith("lsk_invite_")) {
  field.value = secret;
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("button.primary").focus();
} else if (field) {
  field.focus();
}
