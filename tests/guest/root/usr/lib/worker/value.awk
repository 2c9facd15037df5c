# Prints a text as the rest of a multi-line value, from its introducer to its end. A backslash at
# the end of a line is doubled, or it would join the next line to it.
BEGIN { print "\\" }
{ print $0 (/\\$/ ? "\\" : "") }
END { print "\\" }
