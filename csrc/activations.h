/* activations.h - the list of activations.  A new one is a line here, and v_<name> in
   activation.inc; its kernel, its number, its name and the checks are made from these.

   X(with, NAME, name, store, shape)
   with    whatever MM_ACTIVATION_LIST was given beside X: lists below are made by it
   NAME    its number is MM_NAME
   name    of its kernel, and for Python; the formula is v_<name>(x, p), p the slope of the step
   store   FUSED: convolutions and pools apply it to what they have in registers (a variant of each
           kernel is made for it: for cheap ones); APART: a pass over the row does
   shape   VALLEY: it falls to one minimum and rises after it, so that a pool may take it in as
           its pre_activation; SLOPE: any other */
#ifndef MINIMESO_ACTIVATIONS_H
#define MINIMESO_ACTIVATIONS_H

#define MM_ACTIVATION_LIST(X, with)                                                                \
    X(with, RELU, relu, FUSED, SLOPE)                                                              \
    X(with, LEAKY_RELU, leaky_relu, FUSED, SLOPE)                                                  \
    X(with, RELU6, relu6, FUSED, SLOPE)                                                            \
    X(with, SWISH, swish, APART, VALLEY)                                                           \
    X(with, MISH, mish, APART, VALLEY)                                                             \
    X(with, PISH, pish, APART, VALLEY)                                                             \
    X(with, SWISH_PIECEWISE, swish_piecewise, APART, VALLEY)                                       \
    X(with, MISH_PIECEWISE, mish_piecewise, APART, VALLEY)                                         \
    X(with, PISH_PIECEWISE, pish_piecewise, APART, VALLEY)                                         \
    X(with, SIGMOID, sigmoid, APART, SLOPE)                                                        \
    X(with, TANH, tanh, APART, SLOPE)                                                              \
    X(with, EXP, exp, APART, SLOPE)                                                                \
    X(with, HARDSIGMOID, hardsigmoid, APART, SLOPE)                                                \
    X(with, HARDSWISH, hardswish, APART, VALLEY)                                                   \
    X(with, GELU, gelu, APART, VALLEY)                                                             \
    X(with, GELU_TANH, gelu_tanh, APART, VALLEY)                                                   \
    X(with, ELU, elu, APART, SLOPE)                                                                \
    X(with, SOFTPLUS, softplus, APART, SLOPE)

/* X(NAME, name) for all of them, for those that are fused, and for valleys. */
#define MM_ACTIVATIONS(X) MM_ACTIVATION_LIST(MM_ANY_ACTIVATION, X)
#define MM_FUSED_ACTIVATIONS(X) MM_ACTIVATION_LIST(MM_IF_FUSED, X)
#define MM_VALLEY_ACTIVATIONS(X) MM_ACTIVATION_LIST(MM_IF_VALLEY, X)

#define MM_ANY_ACTIVATION(X, NAME, name, store, shape) X(NAME, name)
#define MM_IF_FUSED(X, NAME, name, store, shape) MM_STORE_##store(X(NAME, name))
#define MM_IF_VALLEY(X, NAME, name, store, shape) MM_SHAPE_##shape(X(NAME, name))
#define MM_STORE_FUSED(x) x
#define MM_STORE_APART(x)
#define MM_SHAPE_VALLEY(x) x
#define MM_SHAPE_SLOPE(x)

#endif
