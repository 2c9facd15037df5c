# Prints the pairs of a manifest stream, one a line and separated by tabs: the number of the
# manifest, the name, the value (a newline in it is printed as a space).

function emit() {
  sub(/[ \t]+$/, "", value)
  if (name == "") number++
  else print number "\t" name "\t" value
  state = "pair"
}

# Adds a line to the value; true if its last backslash says that the next line belongs to it.
function add(line,   slashes) {
  match(line, /\\*$/)
  slashes = RLENGTH
  value = value (slashes ? substr(line, 1, length(line) - 1) : line)
  return slashes == 1
}

function simple(line) {
  if (add(line)) state = "continued"
  else emit()
}

BEGIN { state = "pair" }
{ sub(/\r+$/, "") }

state == "empty" {
  if ($0 == "\\") { state = "lines"; next }
  emit()
}

state == "continued" || state == "joined" {
  # Between two lines of a simple value, a lone backslash stands for a newline.
  if ($0 == "\\" && state == "continued") { value = value " "; state = "joined" }
  else simple($0)
  next
}

state == "lines" || state == "wrapped" {
  if ($0 == "\\") { emit(); next }
  if (state == "lines" && value != "") value = value " "
  state = add($0) ? "wrapped" : "lines"
  next
}

/^[ \t]*(#|$)/ { next }

{
  colon = index($0, ":")
  name = substr($0, 1, colon - 1)
  gsub(/[ \t]/, "", name)
  value = ""
  rest = substr($0, colon + 1)
  sub(/^[ \t]+/, "", rest)
  if (rest == "\\") state = "lines"
  else if (rest == "") state = "empty"
  else simple(rest)
}

END { if (state != "pair") emit() }
