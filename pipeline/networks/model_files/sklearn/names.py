"""Classes and functions that a `.skops` file may name: none of them is more than a word here."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Estimators, by what is done with them.
LINEAR_REGRESSORS = _words(
    "ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV "
    "LassoLars LassoLarsCV LassoLarsIC LinearRegression LinearSVR MultiTaskElasticNet "
    "MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV PassiveAggressiveRegressor QuantileRegressor Ridge RidgeCV "
    "SGDRegressor TheilSenRegressor"
)
LINEAR_CLASSIFIERS = _words(
    "LinearDiscriminantAnalysis LinearSVC LogisticRegression LogisticRegressionCV "
    "PassiveAggressiveClassifier Perceptron RidgeClassifier RidgeClassifierCV SGDClassifier"
)
_OTHER_REGRESSORS = _words(
    "BaggingRegressor CCA GammaRegressor GaussianProcessRegressor KernelRidge MLPRegressor "
    "MultiOutputRegressor NuSVR PLSCanonical PLSRegression PoissonRegressor RANSACRegressor "
    "RegressorChain SVR StackingRegressor TransformedTargetRegressor TweedieRegressor "
    "VotingRegressor"
)
_OTHER_CLASSIFIERS = _words(
    "GaussianNB MLPClassifier NuSVC QuadraticDiscriminantAnalysis SVC VotingClassifier"
)
_TRANSFORMERS = _words(
    "ColumnTransformer FactorAnalysis FastICA FeatureUnion FunctionTransformer "
    "GaussianRandomProjection IncrementalPCA KernelPCA MaxAbsScaler MinMaxScaler "
    "NeighborhoodComponentsAnalysis Normalizer Nystroem PCA Pipeline PolynomialFeatures "
    "PowerTransformer QuantileTransformer RBFSampler RFE RFECV RobustScaler SelectKBest "
    "SimpleImputer SplineTransformer StandardScaler TruncatedSVD VarianceThreshold"
)
# What estimators hold.
_PARTS = _words(
    "AdamOptimizer BSpline Bunch ConstantKernel CyHalfBinomialLoss CyHalfGammaLoss "
    "CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss "
    "CyHalfTweedieLossIdentity CyHuberLoss DotProduct EpsilonInsensitive ExpSineSquared "
    "Exponentiation HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss "
    "HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity Hinge Huber IdentityLink Interval "
    "KernelCenterer LabelBinarizer LabelEncoder Log LogLink LogitLink Matern ModifiedHuber "
    "MultinomialLogit Product RBF RationalQuadratic SGDOptimizer SquaredEpsilonInsensitive "
    "SquaredHinge SquaredLoss Sum WhiteKernel _RemainderColsList"
)
_ESTIMATORS = (
    LINEAR_REGRESSORS | LINEAR_CLASSIFIERS | _OTHER_REGRESSORS | _OTHER_CLASSIFIERS | _TRANSFORMERS
)

# {package: names of its classes}; `_loss` is what scikit-learn 1.6 calls its own.
KNOWN_CLASSES = {
    "_loss": frozenset(name for name in _PARTS if name.startswith("Cy")),
    "builtins": _words("bool dict float int list set slice str tuple type"),
    "numpy": _words("RandomState bool bool_ dtype float32 float64 int32 int64 ndarray str_"),
    "scipy": frozenset(["BSpline"]),
    "sklearn": _ESTIMATORS | _PARTS,
}

# Functions of one number, {name in the file: name in jax.numpy}.
UFUNCS = {
    f"numpy.{name}": name
    for name in _words(
        "arcsinh arctan cbrt cos cosh exp exp2 expm1 log log10 log1p log2 negative positive "
        "reciprocal sin sinh sqrt square tan tanh"
    )
}
_SCORES = _words("chi2 f_classif f_regression r_regression")
KNOWN_FUNCTIONS = frozenset(
    [
        *UFUNCS,
        *(f"sklearn.feature_selection._univariate_selection.{name}" for name in _SCORES),
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
    ]
)

# What skops asks about, and is harmless: it holds numbers, or computes some from numbers.
HARMLESS = frozenset(
    [
        *(f"sklearn.feature_selection._univariate_selection.{name}" for name in _SCORES),
        *(
            f"sklearn.gaussian_process.kernels.{name}"
            for name in _words(
                "ConstantKernel DotProduct ExpSineSquared Exponentiation Matern Product RBF "
                "RationalQuadratic Sum WhiteKernel"
            )
        ),
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
    ]
)

# Their functions are constant in pieces.
WITHOUT_DERIVATIVES = _words(
    "AdaBoostClassifier AdaBoostRegressor Binarizer DecisionTreeClassifier DecisionTreeRegressor "
    "ExtraTreeClassifier ExtraTreeRegressor ExtraTreesClassifier ExtraTreesRegressor "
    "GradientBoostingClassifier GradientBoostingRegressor HistGradientBoostingClassifier "
    "HistGradientBoostingRegressor IsolationForest IsotonicRegression KBinsDiscretizer "
    "KNeighborsClassifier KNeighborsRegressor RadiusNeighborsClassifier RadiusNeighborsRegressor "
    "RandomForestClassifier RandomForestRegressor RandomTreesEmbedding Tree"
)
