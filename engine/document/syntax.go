// SPDX-License-Identifier: Apache-2.0

package document

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readable reports whether data is text that YAML may be written in, and says where it
// isn't. Text in UTF-16 is left to the scanner.
func (r *Reader) readable(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return true
	}
	pos := Position{1, 1}
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			r.Errorf(pos, "save the file as UTF-8", "byte 0x%02x is not UTF-8", data[i])
			return false
		case c == '\ufeff' && i > 0:
			r.Errorf(pos, "take it out", "there is a byte order mark inside the text")
			return false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			r.Errorf(pos, `take it out, or write it as \xNN in double quotes`, "there is a control character, %U", c)
			return false
		case c == '\n':
			pos = Position{pos.Line + 1, 0}
		}
		if c != '\ufeff' {
			pos.Column++
		}
		i += size
	}
	return true
}

// syntaxPlace finds the line in a message of the YAML scanner.
var syntaxPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports what the YAML scanner says.
func (r *Reader) syntax(err error, data []byte) {
	pos, text := Position{1, 1}, err.Error()
	if m := syntaxPlace.FindStringSubmatch(text); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil && line > 0 {
			pos.Line = line
		}
		text = m[2]
	}
	lines := strings.Split(string(data), "\n")
	line := lines[min(pos.Line, len(lines))-1]
	hint := ""
	switch blank := strings.TrimLeft(line, " "); {
	case strings.Contains(text, "cannot start any token") && strings.HasPrefix(blank, "\t"):
		hint, pos.Column = "indent with blanks, not with tabs", len(line)-len(blank)+1
	case strings.Contains(text, "cannot start any token"):
		hint = "put a text that begins with @, ` or % into quotes"
	case strings.Contains(text, "mapping values are not allowed"):
		hint = "check the indentation, and put a text with a colon in it into quotes"
	case strings.Contains(text, "expected ',' or"), strings.Contains(text, "expected node content"):
		hint = "check the commas and brackets"
	case strings.Contains(text, "unexpected end of stream"):
		hint = "check that each quote is closed"
	case strings.Contains(text, "expected ':'"):
		hint = "write a blank behind the colon"
	case strings.Contains(text, "unknown anchor"):
		if name := strings.Split(text, "'"); len(name) > 1 {
			if before, _, ok := strings.Cut(string(data), "*"+name[1]); ok {
				pos = Position{strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')}
			}
		}
		text = "unknown anchor" // its name may be a password that was to be in quotes
		hint = "put a text that begins with * into quotes"
	case strings.Contains(text, "did not find expected key"), strings.Contains(text, "block"):
		hint = "check the indentation"
	}
	r.Errorf(pos, hint, "not valid YAML: %s", text)
}
