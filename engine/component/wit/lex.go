// SPDX-License-Identifier: Apache-2.0

package wit

import (
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token. A punctuation mark is its own byte; the arrow is '-'.
type kind rune

const (
	tokEOF kind = -iota - 1
	tokName
	tokNumber
	tokArrow
)

// token is a word, a number or a mark. A name's text is without its '%'.
type token struct {
	kind    kind
	text    string
	escaped bool // written with '%': never a keyword
	pos     position
}

// describe names the token for a message.
func (t token) describe() string {
	switch t.kind {
	case tokEOF:
		return "the end of the file"
	default:
		return "\"" + t.text + "\""
	}
}

// lexer cuts a source into tokens, on demand, because a version is only one
// after an '@' of a name.
type lexer struct {
	src *source
	off int
}

func (l *lexer) at(off int) position { return position{l.src, off} }

// next returns the next token.
func (l *lexer) next() (token, error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	start, text := l.off, l.src.text
	if start == len(text) {
		return token{kind: tokEOF, pos: l.at(start)}, nil
	}
	switch c := text[start]; {
	case isLetter(c) || c == '%':
		if c == '%' {
			l.off++
		}
		from := l.off
		for l.off < len(text) && (isLetter(text[l.off]) || isDigit(text[l.off]) || text[l.off] == '-' && !l.arrowAt(l.off)) {
			l.off++
		}
		word := text[from:l.off]
		if !isLabel(word) {
			return token{}, l.at(start).errorf("words of letters and digits, each in one case, joined by single hyphens", "%q is no name", text[start:l.off])
		}
		return token{kind: tokName, text: word, escaped: c == '%', pos: l.at(start)}, nil
	case isDigit(c):
		for l.off < len(text) && isDigit(text[l.off]) {
			l.off++
		}
		return token{kind: tokNumber, text: text[start:l.off], pos: l.at(start)}, nil
	case l.arrowAt(start):
		l.off += 2
		return token{kind: tokArrow, text: "->", pos: l.at(start)}, nil
	case strings.IndexByte("=,:;(){}<>*/.@_", c) >= 0:
		l.off++
		return token{kind: kind(c), text: text[start:l.off], pos: l.at(start)}, nil
	}
	r, _ := utf8.DecodeRuneInString(text[start:])
	return token{}, l.at(start).errorf("", "unexpected character %q", r)
}

func (l *lexer) arrowAt(off int) bool { return strings.HasPrefix(l.src.text[off:], "->") }

// skip passes over white space and comments.
func (l *lexer) skip() error {
	for l.off < len(l.src.text) {
		rest := l.src.text[l.off:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			l.off++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			l.off += end
		case strings.HasPrefix(rest, "/*"):
			if err := l.skipBlock(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// skipBlock passes over a block comment; they nest.
func (l *lexer) skipBlock() error {
	start := l.off
	for depth := 0; l.off < len(l.src.text); {
		rest := l.src.text[l.off:]
		switch {
		case strings.HasPrefix(rest, "/*"):
			depth++
			l.off += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			l.off += 2
		default:
			l.off++
		}
		if depth == 0 {
			return nil
		}
	}
	return l.at(start).errorf("close it with */", "comment does not end")
}

// version returns the semantic version that starts right here. A dot is part of
// it only where a letter or digit follows, so that "1.0.0.{x}" ends after the
// third number.
func (l *lexer) version() (string, error) {
	if err := l.skip(); err != nil {
		return "", err
	}
	start, text := l.off, l.src.text
	alnum := func(i int) bool { return i < len(text) && (isLetter(text[i]) || isDigit(text[i])) }
	digits := func() bool {
		from := l.off
		for l.off < len(text) && isDigit(text[l.off]) {
			l.off++
		}
		return l.off > from
	}
	ok := digits()
	for range 2 {
		if ok && l.off < len(text) && text[l.off] == '.' {
			l.off++
			ok = digits()
		} else {
			ok = false
		}
	}
	for _, mark := range []byte("-+") {
		if ok && l.off < len(text) && text[l.off] == mark && !l.arrowAt(l.off) {
			l.off++
			ok = alnum(l.off) || l.off < len(text) && text[l.off] == '-'
			for alnum(l.off) || l.off < len(text) && (text[l.off] == '-' || text[l.off] == '.' && alnum(l.off+1)) {
				l.off++
			}
		}
	}
	if !ok {
		return "", l.at(start).errorf("three numbers, as in 1.2.0, with an optional -pre-release and +build", "invalid version")
	}
	return text[start:l.off], nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// isLabel reports whether s is a label: words joined by hyphens, each all lower or
// all upper case letters and digits, the first starting with a letter.
func isLabel(s string) bool {
	for i, word := range strings.Split(s, "-") {
		if word == "" || i == 0 && isDigit(word[0]) || word != strings.ToLower(word) && word != strings.ToUpper(word) {
			return false
		}
		for _, c := range []byte(word) {
			if !isLetter(c) && !isDigit(c) {
				return false
			}
		}
	}
	return true
}
