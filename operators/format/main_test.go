// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/wasm-graph/graphd/operators/sdk"
	"github.com/wasm-graph/graphd/operators/sdk/mapper"
	"github.com/wasm-graph/graphd/operators/sdk/sdktest"
)

func openIn(t *testing.T, env *sdktest.Env) mapper.Func {
	t.Helper()
	process, err := open(env.Host())
	if err != nil {
		t.Fatal(err)
	}
	return process
}

func encodePNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// quarters is an image with a colour in each corner: red, green, blue, white.
func quarters(img interface {
	image.Image
	Set(x, y int, c color.Color)
}) image.Image {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			right, below := x-b.Min.X >= b.Dx()/2, y-b.Min.Y >= b.Dy()/2
			c := color.NRGBA{255, 0, 0, 255}
			switch {
			case right && below:
				c = color.NRGBA{255, 255, 255, 255}
			case below:
				c = color.NRGBA{0, 0, 255, 255}
			case right:
				c = color.NRGBA{0, 255, 0, 255}
			}
			img.Set(x, y, c)
		}
	}
	return img
}

// pixel is a pixel of a frame.
func pixel(frame []byte, x, y int) [3]byte { return [3]byte(frame[(y*side+x)*3:]) }

// near reports whether two pixels look the same.
func near(a, b [3]byte, tolerance int) bool {
	for i := range a {
		if d := int(a[i]) - int(b[i]); d > tolerance || d < -tolerance {
			return false
		}
	}
	return true
}

func TestDecode(t *testing.T) {
	palette := color.Palette{color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}, color.NRGBA{255, 255, 255, 255}}
	shifted := image.Rect(3, 5, 403, 305)
	for _, tt := range []struct {
		name      string
		content   []byte
		tolerance int
	}{
		{"PNG", encodePNG(t, quarters(image.NewNRGBA(image.Rect(0, 0, 640, 480)))), 0},
		{"PNG, smaller", encodePNG(t, quarters(image.NewNRGBA(image.Rect(0, 0, 100, 60)))), 0},
		{"PNG, of this size", encodePNG(t, quarters(image.NewNRGBA(image.Rect(0, 0, side, side)))), 0},
		{"PNG, 16 bits", encodePNG(t, quarters(image.NewNRGBA64(image.Rect(0, 0, 300, 300)))), 0},
		{"PNG, palette", encodePNG(t, quarters(image.NewPaletted(image.Rect(0, 0, 300, 300), palette))), 0},
		{"PNG, off the origin", encodePNG(t, quarters(image.NewRGBA(shifted)).(*image.RGBA).SubImage(shifted)), 0},
		{"JPEG", encodeJPEG(t, quarters(image.NewRGBA(image.Rect(0, 0, 640, 480)))), 3},
		{"JPEG, odd size", encodeJPEG(t, quarters(image.NewRGBA(image.Rect(0, 0, 227, 311)))), 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := sdk.Timestamp{Secs: 7, Counter: 3, Node: sdk.Text("camera")}
			env := sdktest.New()
			process := openIn(t, env)
			for _, in := range []sdk.Data{
				&sdk.Message{Timestamp: at, Topic: sdk.Text("cam"), Payload: sdk.Raw(tt.content)},
				&sdk.Snapshot{Timestamp: at, Format: sdk.Text("png"), Width: side, Height: side, Frame: sdk.Raw(tt.content)},
			} {
				out, err := process(in)
				if err != nil {
					t.Fatal(err)
				}
				s := out.(*sdk.Snapshot)
				if s.Format.String() != "rgb24" || s.Width != side || s.Height != side || s.Timestamp.Compare(at) != 0 || len(s.Frame.Bytes()) != frameSize {
					t.Fatalf("%T became %s, %d x %d, %d bytes, at %v", in, s.Format, s.Width, s.Height, len(s.Frame.Bytes()), s.Timestamp)
				}
				frame := s.Frame.Bytes()
				for _, p := range []struct {
					x, y int
					want [3]byte
				}{{50, 50, [3]byte{255, 0, 0}}, {170, 50, [3]byte{0, 255, 0}}, {50, 170, [3]byte{0, 0, 255}}, {170, 170, [3]byte{255, 255, 255}}} {
					if got := pixel(frame, p.x, p.y); !near(got, p.want, tt.tolerance) {
						t.Errorf("%T: pixel %d,%d is %v, want %v", in, p.x, p.y, got, p.want)
					}
				}
			}
			if got := env.Counter("requests", sdk.Label{Key: "module", Value: "module-format/map"}); got != 2 {
				t.Errorf("%d requests were counted", got)
			}
		})
	}
}

// TestOfThisSize: nothing changes where nothing has to; transparency is taken off,
// not blended.
func TestOfThisSize(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	var want []byte
	for i := range side * side {
		c := color.NRGBA{uint8(i), uint8(i >> 3), uint8(i * 7), uint8(i % 256)}
		img.SetNRGBA(i%side, i/side, c)
		want = append(want, c.R, c.G, c.B)
	}
	out, err := openIn(t, sdktest.New())(&sdk.Message{Payload: sdk.Raw(encodePNG(t, img))})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.(*sdk.Snapshot).Frame.Bytes(), want) {
		t.Error("an image of the wanted size has changed")
	}
}

// TestResize compares with the formula, pixel by pixel.
func TestResize(t *testing.T) {
	const w, h = 31, 9
	in := make([]float32, w*h*channels)
	for i := range in {
		in[i] = float32(i * 37 % 256)
	}
	src := source{w, h, func(y int, dst []float32) { copy(dst, in[y*w*channels:]) }}
	for _, size := range [][2]int{{7, 5}, {31, 9}, {40, 23}, {1, 1}, {31, 2}} {
		got := resize(src, size[0], size[1])
		for y := range size[1] {
			for x := range size[0] {
				for c := range channels {
					want := direct(in, w, h, size[0], size[1], x, y, c)
					if v := float64(got.pix[(y*size[0]+x)*channels+c]); math.Abs(v-want) > 0.01 {
						t.Fatalf("to %v: %d,%d,%d is %v, want %v", size, x, y, c, v, want)
					}
				}
			}
		}
	}
}

// direct computes one number of a resized image from all pixels.
func direct(in []float32, w, h, outW, outH, x, y, c int) float64 {
	kernel := func(i, n, out, at int) float64 {
		ratio := float64(n) / float64(out)
		d := (float64(i) + 0.5 - (float64(at)+0.5)*ratio) / math.Max(ratio, 1)
		if math.Abs(d) >= 3 {
			return 0
		}
		if d == 0 {
			return 1
		}
		return 3 * math.Sin(math.Pi*d) * math.Sin(math.Pi*d/3) / (math.Pi * math.Pi * d * d)
	}
	var sum, weights float64
	for j := range h {
		for i := range w {
			k := kernel(j, h, outH, y) * kernel(i, w, outW, x)
			sum += k * float64(in[(j*w+i)*channels+c])
			weights += k
		}
	}
	return sum / weights
}

func TestPasses(t *testing.T) {
	process := openIn(t, sdktest.New())
	raw := bytes.Repeat([]byte{1, 2, 3}, side*side)
	out, err := process(&sdk.Message{Timestamp: sdk.Timestamp{Secs: 7}, Payload: sdk.Raw(raw)})
	if err != nil {
		t.Fatal(err)
	}
	if s := out.(*sdk.Snapshot); s.Format.String() != "rgb24" || s.Width != side || s.Timestamp.Secs != 7 || !bytes.Equal(s.Frame.Bytes(), raw) {
		t.Errorf("a raw frame became %+v", s)
	}
	copy(raw, "\x89PNG\r\n\x1a\n")
	if out, err = process(&sdk.Message{Payload: sdk.Raw(raw)}); err != nil || !bytes.Equal(out.(*sdk.Snapshot).Frame.Bytes(), raw) {
		t.Errorf("a raw frame that begins like PNG: %v", err)
	}
	frame, wasRead := sdktest.Buffer("anything")
	in := &sdk.Snapshot{Format: sdk.Text("rgb24"), Width: side, Height: side, Frame: frame}
	if out, err := process(in); err != nil || out != sdk.Data(in) || wasRead() {
		t.Errorf("a snapshot in the right form: %v, %v, read %t", out, err, wasRead())
	}
}

func TestErrors(t *testing.T) {
	process := openIn(t, sdktest.New())
	small := encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 10, 10)))
	for _, tt := range []struct {
		name string
		in   sdk.Data
		want string
	}{
		{"bytes", sdk.Raw(small), "Unexpected input type."},
		{"empty", sdktest.Message("t", ""), "Unexpected image format or size. It is 0 bytes that are neither PNG nor JPEG; an rgb24 frame has 150528"},
		{"JSON", sdktest.Message("t", `{"temperature":{}}`), "Unexpected image format or size. It is 18 bytes"},
		{"a frame of another size", &sdk.Snapshot{Format: sdk.Text("rgb24"), Width: 10, Height: 10, Frame: sdk.Raw(make([]byte, 300))}, "Unexpected image format or size. It is 300 bytes"},
		{"PNG, cut off", sdktest.Message("t", string(small[:40])), "Unexpected image format or size. unexpected EOF"},
		{"PNG, corrupt", sdktest.Message("t", string(small[:45])+"\x00\x00"+string(small[47:])), "Unexpected image format or size. flate: corrupt input"},
		{"PNG, huge", sdktest.Message("t", string(header(100_000, 100_000))), "Unexpected image format or size. the image has 100000 x 100000 pixels, more than 25000000"},
		{"JPEG, cut off", sdktest.Message("t", string(encodeJPEG(t, image.NewGray(image.Rect(0, 0, 10, 10)))[:100])), "Unexpected image format or size. "},
	} {
		if _, err := process(tt.in); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// header is the beginning of a PNG of that size.
func header(width, height uint32) []byte {
	chunk := append([]byte("IHDR"), 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0)
	binary.BigEndian.PutUint32(chunk[4:], width)
	binary.BigEndian.PutUint32(chunk[8:], height)
	out := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), 13)
	return binary.BigEndian.AppendUint32(append(out, chunk...), crc32.ChecksumIEEE(chunk))
}

func FuzzRescaled(f *testing.F) {
	f.Add(header(3, 3))
	f.Add([]byte("\xff\xd8\xff\xe0"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 26 && string(content[1:4]) == "PNG" && (content[16]|content[17]|content[18]|content[20]|content[21]|content[22]) != 0 {
			return // large ones only take long
		}
		frame, err := rescaled(content)
		if err == nil && len(frame) != frameSize {
			t.Fatalf("a frame of %d bytes", len(frame))
		}
	})
}
