// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"cmp"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-graph/graphd/operators/sdk/smalljson"
)

// typeName is the narrowest type of v.
func typeName(v smalljson.Value) string {
	switch v.Kind {
	case smalljson.Bool:
		return "boolean"
	case smalljson.Number:
		if isInteger(v) {
			return "integer"
		}
		return "number"
	case smalljson.String:
		return "string"
	case smalljson.Array:
		return "array"
	case smalljson.Object:
		return "object"
	}
	return "null"
}

// isInteger reports whether v is an integer, however it is written: 1.0 is one.
func isInteger(v smalljson.Value) bool {
	return v.Kind == smalljson.Number && v.Float() == math.Trunc(v.Float())
}

// integer returns v as an integer, if it is one and small enough.
func integer(v smalljson.Value) (i int64, ok bool) {
	if i, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
		return i, true
	}
	if f := v.Float(); f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f), true
	}
	return 0, false
}

// compare compares two numbers.
func compare(a, b smalljson.Value) int {
	if i, ok := integer(a); ok {
		if j, ok := integer(b); ok {
			return cmp.Compare(i, j)
		}
	}
	return cmp.Compare(a.Float(), b.Float())
}

// isMultiple reports whether a number is a multiple of step. What floats can't tell
// from a multiple is one: 0.0075 is a multiple of 0.0001.
func isMultiple(v, step smalljson.Value) bool {
	if i, ok := integer(v); ok {
		if j, ok := integer(step); ok {
			return i%j == 0
		}
	}
	times := v.Float() / step.Float()
	return math.Abs(times-math.Round(times)) <= 1e-14*math.Abs(times) // false where it is infinite
}

// canonical is the text of v that it has in common with all equal values.
func canonical(v smalljson.Value) string { return string(appendCanonical(nil, v)) }

func appendCanonical(dst []byte, v smalljson.Value) []byte {
	switch v.Kind {
	case smalljson.Number:
		if i, ok := integer(v); ok {
			return strconv.AppendInt(dst, i, 10)
		}
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64)
	case smalljson.Array:
		dst = append(dst, '[')
		for _, item := range v.Items {
			dst = append(appendCanonical(dst, item), ',')
		}
		return append(dst, ']')
	case smalljson.Object:
		dst = append(dst, '{')
		for _, m := range v.Members {
			dst = append(smalljson.AppendText(dst, m.Key), ':')
			dst = append(appendCanonical(dst, m.Value), ',')
		}
		return append(dst, '}')
	}
	return v.Append(dst)
}

// format returns what checks strings of that format, or nil where that is none of
// ours: such a format says something, but forbids nothing.
func format(name string) func(text string) bool {
	switch name {
	case "date-time":
		return func(text string) bool {
			date, clock, _ := strings.Cut(strings.ToUpper(text), "T")
			return isDate(date) && isClock(clock)
		}
	case "date":
		return isDate
	case "time":
		return func(text string) bool { return isClock(strings.ToUpper(text)) }
	case "email":
		return isEmail
	case "hostname":
		return isHostname
	case "ipv4":
		return func(text string) bool { return isAddress(text, netip.Addr.Is4) }
	case "ipv6":
		return func(text string) bool { return isAddress(text, netip.Addr.Is6) && !strings.Contains(text, "%") }
	case "uri":
		return uri.MatchString
	case "json-pointer":
		return pointer.MatchString
	case "regex":
		return func(text string) bool { _, err := regexp.Compile(goSyntax(text)); return err == nil }
	}
	return nil
}

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// isClock reports whether text is a time of day with an offset, as RFC 3339 has it. A
// leap second is the last of a day in UTC.
func isClock(text string) bool {
	if !clock.MatchString(text) {
		return false
	}
	if !strings.HasPrefix(text[6:], "60") {
		return true
	}
	at, err := time.Parse("15:04:05Z07:00", text[:6]+"59"+text[8:])
	return err == nil && at.UTC().Hour() == 23 && at.UTC().Minute() == 59
}

var (
	clock   = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)
	uri     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:(%[0-9A-Fa-f]{2}|[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-])*$`)
	pointer = regexp.MustCompile(`^(/([^~/]|~[01])*)*$`)
	label   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	mailbox = regexp.MustCompile("^(\"[^\"\\\\]*\"|[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)$")
)

func isHostname(text string) bool {
	if len(text) > 253 {
		return false
	}
	for part := range strings.SplitSeq(text, ".") {
		if !label.MatchString(part) {
			return false
		}
	}
	return true
}

func isEmail(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && mailbox.MatchString(text[:at]) && (isHostname(text[at+1:]) || isLiteral(text[at+1:]))
}

// isLiteral reports whether the domain of an email address is a bracketed address.
func isLiteral(domain string) bool {
	inner, ok := strings.CutPrefix(domain, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return ok && closed && isAddress(strings.TrimPrefix(inner, "IPv6:"), netip.Addr.IsValid)
}

func isAddress(text string, is func(netip.Addr) bool) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && is(address)
}
