// SPDX-License-Identifier: Apache-2.0

package encode

// builder writes a component's definitions and counts its index spaces; types are
// counted by a scope. Every method that adds a definition returns its index.
type builder struct {
	sections
	funcs, instances, components                        uint32
	coreModules, coreInstances, coreFuncs, coreMemories uint32
}

// The sections of a component.
const (
	secCoreModule   = 1
	secCoreInstance = 2
	secComponent    = 4
	secInstance     = 5
	secAlias        = 6
	secType         = 7
	secCanon        = 8
	secImport       = 10
	secExport       = 11
)

// The sorts of component definitions, by their binary encoding.
const (
	externFunc     = 0x01
	externType     = 0x03
	externInstance = 0x05
)

const componentPreamble = "\x00asm\x0d\x00\x01\x00"

func newBuilder() *builder {
	b := &builder{}
	b.out = []byte(componentPreamble)
	return b
}

func take(n *uint32) uint32 {
	*n++
	return *n - 1
}

func (b *builder) coreModule(module []byte) uint32 {
	b.whole(secCoreModule, module)
	return take(&b.coreModules)
}

// coreArg gives an instance, under a module name, to an instantiation.
type coreArg struct {
	name     string
	instance uint32
}

func (b *builder) instantiate(module uint32, args []coreArg) uint32 {
	d := appendUint([]byte{0}, module)
	d = appendUint(d, uint32(len(args)))
	for _, a := range args {
		d = appendUint(append(appendName(d, a.name), 0x12), a.instance)
	}
	b.add(secCoreInstance, d)
	return take(&b.coreInstances)
}

// coreFunc names a core function.
type coreFunc struct {
	name  string
	index uint32
}

// bundle makes a core instance of functions.
func (b *builder) bundle(funcs []coreFunc) uint32 {
	d := appendUint([]byte{1}, uint32(len(funcs)))
	for _, f := range funcs {
		d = appendUint(append(appendName(d, f.name), sortFunc), f.index)
	}
	b.add(secCoreInstance, d)
	return take(&b.coreInstances)
}

func (b *builder) aliasCore(sort byte, instance uint32, name string) {
	b.add(secAlias, appendName(appendUint([]byte{0, sort, 1}, instance), name))
}

func (b *builder) aliasCoreFunc(instance uint32, name string) uint32 {
	b.aliasCore(sortFunc, instance, name)
	return take(&b.coreFuncs)
}

func (b *builder) aliasCoreMemory(instance uint32, name string) uint32 {
	b.aliasCore(sortMemory, instance, name)
	return take(&b.coreMemories)
}

func (b *builder) alias(sort byte, instance uint32, name string) {
	b.add(secAlias, appendName(appendUint([]byte{sort, 0}, instance), name))
}

func (b *builder) aliasFunc(instance uint32, name string) uint32 {
	b.alias(externFunc, instance, name)
	return take(&b.funcs)
}

// canonOptions are the options of a lift or lower; a nil index is absent.
type canonOptions struct {
	memory, realloc, postReturn *uint32
}

func (o canonOptions) append(d []byte) []byte {
	v := vector{}
	if o.memory != nil {
		v.add([]byte{0}) // utf8
		v.add(appendUint([]byte{3}, *o.memory))
	}
	if o.realloc != nil {
		v.add(appendUint([]byte{4}, *o.realloc))
	}
	if o.postReturn != nil {
		v.add(appendUint([]byte{5}, *o.postReturn))
	}
	return v.append(d)
}

func (b *builder) lift(coreFunc uint32, options canonOptions, funcType uint32) uint32 {
	b.add(secCanon, appendUint(options.append(appendUint([]byte{0, 0}, coreFunc)), funcType))
	return take(&b.funcs)
}

func (b *builder) lower(function uint32, options canonOptions) uint32 {
	b.add(secCanon, options.append(appendUint([]byte{1, 0}, function)))
	return take(&b.coreFuncs)
}

// The canonical built-ins on a resource type.
const (
	canonResourceNew  = 2
	canonResourceDrop = 3
	canonResourceRep  = 4
)

func (b *builder) canonResource(op byte, resource uint32) uint32 {
	b.add(secCanon, appendUint([]byte{op}, resource))
	return take(&b.coreFuncs)
}

func (b *builder) component(nested []byte) uint32 {
	b.whole(secComponent, nested)
	return take(&b.components)
}

// externArg gives a definition, under an import name, to an instantiation.
type externArg struct {
	name  string
	sort  byte
	index uint32
}

func (b *builder) instantiateComponent(component uint32, args []externArg) uint32 {
	d := appendUint([]byte{0}, component)
	d = appendUint(d, uint32(len(args)))
	for _, a := range args {
		d = appendUint(append(appendName(d, a.name), a.sort), a.index)
	}
	b.add(secInstance, d)
	return take(&b.instances)
}

func (b *builder) importFunc(name string, funcType uint32) uint32 {
	b.add(secImport, appendUint(append(appendExternName(nil, name), externFunc), funcType))
	return take(&b.funcs)
}

func (b *builder) importInstance(name string, instanceType uint32) uint32 {
	b.add(secImport, appendUint(append(appendExternName(nil, name), externInstance), instanceType))
	return take(&b.instances)
}

// importType imports a type; the caller's scope counts it.
func (b *builder) importType(name string, bound []byte) {
	b.add(secImport, append(append(appendExternName(nil, name), externType), bound...))
}

// exportFunc exports a function, as funcType if that is not nil.
func (b *builder) exportFunc(name string, function uint32, funcType *uint32) {
	d := appendUint(append(appendExternName(nil, name), externFunc), function)
	if funcType == nil {
		d = append(d, 0)
	} else {
		d = appendUint(append(d, 1, externFunc), *funcType)
	}
	b.add(secExport, d)
	b.funcs++ // an export is a definition too
}

func (b *builder) exportInstance(name string, instance uint32) uint32 {
	b.add(secExport, append(appendUint(append(appendExternName(nil, name), externInstance), instance), 0))
	return take(&b.instances)
}

// exportType exports a type; the caller's scope counts it.
func (b *builder) exportType(name string, index uint32) {
	b.add(secExport, append(appendUint(append(appendExternName(nil, name), externType), index), 0))
}
